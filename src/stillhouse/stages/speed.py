"""Speed: one candidate timed on this machine: single requests, a batch, loading, memory.

What is measured differs from run to run, so it lies in an artifact of its own: the bytes of an
evaluation stay equal, and what a gate was told stays with its verdict.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from stillhouse.core.protocols import Generator, Progress
from stillhouse.core.rows import Example
from stillhouse.core.sampling import Sampling
from stillhouse.engines.transformers import TransformersEngine
from stillhouse.evals.scores import Column, Scores, write_scores
from stillhouse.evals.speed import TIMED
from stillhouse.evals.summary import Speed
from stillhouse.recipes.measuring import Latency
from stillhouse.stages.asking_again import spread
from stillhouse.stages.candidates import model_of
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import Corpus, open_corpus
from stillhouse.stages.evaluate_files import SCORES
from stillhouse.stages.measured import measured_of
from stillhouse.stages.sections import section_of
from stillhouse.stages.weights import use_compute


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write `scores.parquet`: what was timed, one row an example, zeros where it was not."""

    def build(corpus: Corpus) -> TransformersEngine:
        schema = request.config["answer_schema"]
        model = model_of(request, corpus)
        return TransformersEngine(model, corpus.tokenizer, corpus.template, answer_schema=schema)

    return time_engine(request, progress, build, lambda: _peak_bytes(request.config["device"]))


def time_engine(
    request: StageRequest,
    progress: Progress,
    build: Callable[[Corpus], Generator],
    peak_bytes: Callable[[], int],
) -> StageResult:
    """Time a candidate of some kind.

    Args:
        request: of the stage.
        progress: told of the requests.
        build: loads it.
        peak_bytes: the most memory that it took, asked when all is done.

    Returns:
        The summary, and how fast it was.
    """
    config = request.config
    use_compute(config)
    latency = section_of(Latency, config["latency"])
    corpus = open_corpus(request.inputs["examples"], request.config["of"])
    measured = measured_of(request, corpus)
    places = spread(len(measured.examples), latency.examples)
    examples = [measured.examples[place] for place in places]
    sampling = Sampling(config["max_new_tokens"], batch_size=config["batch_size"])
    started = time.perf_counter()
    engine = build(corpus)
    _answer(engine, examples[:1], replace(sampling, max_new_tokens=1))
    load_s = time.perf_counter() - started
    for number in range(latency.warmup):
        _answer(engine, [examples[number % len(examples)]], sampling)
    timed = _time(engine, examples, sampling, progress)
    size = len(measured.examples)
    columns: dict[str, Column] = {name: np.zeros(size) for name in (TIMED, "latency_s", "batch_s")}
    columns[TIMED][places] = 1.0
    columns["latency_s"][places] = timed.seconds
    columns["batch_s"][places] = timed.batch_s / len(places)
    columns["load_s"] = np.full(size, load_s)
    columns["peak_memory_bytes"] = np.full(size, float(peak_bytes()))
    write_scores(request.out / SCORES, Scores(measured.ids, columns))
    return StageResult({"timed": len(places)}, timed.speed(config["batch_size"]).as_measured())


@dataclass(frozen=True, slots=True)
class _Timed:
    """What the clock said.

    Attributes:
        seconds: of each single request.
        batch_s: of all of them side by side.
        tokens: that were written side by side.
    """

    seconds: list[float]
    batch_s: float
    tokens: int

    def speed(self, batch_size: int) -> Speed:
        return Speed(
            latency_n=len(self.seconds),
            latency_mean_s=float(np.mean(self.seconds)),
            latency_p50_s=float(np.percentile(self.seconds, 50)),
            latency_p95_s=float(np.percentile(self.seconds, 95)),
            per_minute=60.0 * len(self.seconds) / self.batch_s,
            batch_size=batch_size,
            tokens_per_s=self.tokens / self.batch_s,
        )


def _time(
    engine: Generator, examples: Sequence[Example], sampling: Sampling, progress: Progress
) -> _Timed:
    seconds = []
    for example in examples:
        started = time.perf_counter()
        _answer(engine, [example], replace(sampling, batch_size=1))
        seconds.append(time.perf_counter() - started)
        progress(len(seconds), len(examples), "requests")
    started = time.perf_counter()
    tokens = _answer(engine, examples, sampling)
    return _Timed(seconds, time.perf_counter() - started, tokens)


def _answer(engine: Generator, examples: Sequence[Example], sampling: Sampling) -> int:
    """Tokens written; texts come back to the processor, so a GPU is done with them by then."""
    return sum(one.num_tokens for one in engine.generate(examples, sampling))


def _peak_bytes(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    # Linux counts in kilobytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
