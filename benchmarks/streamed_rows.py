"""What 100,000 rows cost a training in memory and time, with targets read from a file.

The whole stage `train` runs on synthetic rows, with as many steps whatever their number: so what
grows with them is what is kept of each. The limit is 0 bytes a row. Beside it the same stage with
encoded examples and targets in memory.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measure import Child, Goal, Turns, child_spec, parser, print_line, resident_bytes

WORDS = ("the order came late and the box was open", "please send a new one by friday", "thanks")
ANSWERS = ("refund", "repair", "replace", "wait")
TOP_K = 4
SCRATCH = {
    "model_type": "qwen3",
    "config": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "max_position_embeddings": 128,
    },
}
RECIPE = {
    "name": "streamed",
    "compute": {"device": "cpu", "threads": 1},
    "teacher": {"scratch": {**SCRATCH, "tokenizer": {"vocab_size": 400}}},
    "student": {"scratch": SCRATCH},
    "collect": {"source": {"sample_rows": {"task": "tickets", "rows": 40}}},
    "prepare": {
        "user": "{message}",
        "answer": "annotation",
        "split": {"parts": {"holdout": 4, "labelled": "rest"}},
    },
    "finetune": {"parts": ["labelled"], "length": {"steps": 1}},
    "label": {"parts": ["labelled"], "targets": "top_k", "top_k": TOP_K},
    "train": {"parts": ["labelled"], "length": {"steps": 200, "batch_size": 32}},
}


def main() -> None:
    """Make the rows once, then train on ever more of them."""
    options = parser(__doc__, repeats=1)
    options.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000])
    told = options.parse_args()
    counts = [500, 2000] if told.quick else sorted(set(told.rows))
    if len(counts) < 2:
        options.error("--rows: give two counts or more, between which memory grows")
    reports: dict[tuple[str, int], dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            spec = {"folder": f"{folder}/{count}", "rows": count}
            with Child(spec, told.threads) as child:
                child.turn(what="make")
            for way in ("file", "memory"):
                if way == "memory" and count > 10_000:
                    continue
                with Child(spec, told.threads) as child:
                    reports[way, count] = child.turn(what=way)
    growth = {way: _bytes_a_row(reports, way) for way in ("file", "memory")}
    most = max((count for way, count in reports if way == "memory"), default=None)
    pace = None
    if most is not None:
        pace = reports["file", most][told.clock] / reports["memory", most][told.clock]
    figures = {
        "threads": told.threads,
        "runs": [{"targets": way, "rows": count, **one} for (way, count), one in reports.items()],
        "bytes_a_row": growth,
        "time_over_in_memory": pace,
    }
    goals = {
        "memory that a row costs": Goal(growth["file"], at_most=1000.0, stretch=400.0),
        "time over that from memory": Goal(pace, at_most=1.05),
    }
    print_line("streamed_rows", figures, goals, told.quick)


def _bytes_a_row(reports: dict[tuple[str, int], dict[str, Any]], way: str) -> float | None:
    """Between the least and the most rows; None where that way had fewer than two counts."""
    counts = sorted(count for of, count in reports if of == way)
    if len(counts) < 2:
        return None
    low, high = (reports[way, count]["peak_bytes"] for count in (counts[0], counts[-1]))
    return float((high - low) / (counts[-1] - counts[0]))


def child(spec: dict[str, Any]) -> None:
    """A turn makes the artifacts, or trains on them from a file or from memory."""
    turns = Turns()
    from stillhouse.runner.opening import open_recipe
    from stillhouse.runner.resolve import resolve
    from stillhouse.stages import train

    folder = Path(spec["folder"])
    folder.mkdir(exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(RECIPE))
    config = resolve(*open_recipe(str(path))).plan["train@student"].config
    turns.report()
    while turns.wait():
        what = turns.told["what"]
        if what == "make":
            _make(folder, spec["rows"])
            turns.report()
            continue
        if what == "memory":
            train.write_examples = lambda _, examples: list(examples)  # type: ignore[assignment, return-value]
        turns.report(**_train(train.run, folder, config))


def _train(run: Any, folder: Path, config: dict[str, Any]) -> dict[str, float]:
    import statistics

    from stillhouse.core.protocols import no_progress
    from stillhouse.stages.contract import StageRequest

    work = Path(tempfile.mkdtemp(dir=folder))
    for name in ("out", "scratch"):
        (work / name).mkdir()
    inputs = {"examples": folder / "prepared", "targets": folder / "labels"}
    request = StageRequest(
        "train", "student", "train-x", config, inputs, work / "out", work / "scratch"
    )
    result = run(request, no_progress)
    return {
        "peak_bytes": resident_bytes(peak=True),
        "median_step_s": statistics.median(result.series["seconds"]),
    }


def _make(folder: Path, rows: int) -> None:
    """What `prepare` and `label` would have written: examples, answers and targets."""
    from stillhouse.core.rows import Completion
    from stillhouse.data.storage import write_completions, write_examples
    from stillhouse.stages.corpus import EXAMPLES, open_corpus, save_template
    from stillhouse.stages.label_files import COMPLETIONS, TARGETS
    from stillhouse.targets.header import TargetHeader
    from stillhouse.targets.write import TargetWriter
    from stillhouse.tokens.train import train_tokenizer

    prepared, labels = folder / "prepared", folder / "labels"
    prepared.mkdir()
    train_tokenizer([" ".join(WORDS), *ANSWERS] * 20, 400, prepared / "tokenizer", 128)
    save_template(prepared, {"user": "{content}\n", "assistant": "{content}", "system": ""})
    write_examples(prepared / EXAMPLES, _examples(rows))
    corpus = open_corpus(prepared)
    written = (
        Completion(one.example_id, one.answer or "", "stop", 1)
        for one in corpus.iterate(["labelled"])
    )
    write_completions(labels / COMPLETIONS, written)
    header = TargetHeader(
        engine="synthetic",
        weights_digest="none",
        tokenizer_digest=corpus.tokenizer.digest,
        template_digest=corpus.template.digest,
        vocab_size=corpus.tokenizer.vocab_size,
        top_k=TOP_K,
        kd_temperatures=(1.0,),
        dtype="float32",
    )
    with TargetWriter(labels / TARGETS, header, 512) as writer:
        for number, example in enumerate(corpus.iterate(["labelled"])):
            writer.append(_targets(example.example_id, corpus.encode(example), number))


def _examples(rows: int) -> Iterator[Any]:
    import random

    from stillhouse.core.rows import Example, Message

    draw = random.Random(0)
    for number in range(rows):
        text = " ".join(draw.choices(WORDS, k=draw.randint(1, 6)))
        prompt = (Message("user", text),)
        yield Example(f"row-{number:07}", "labelled", prompt, draw.choice(ANSWERS))


def _targets(example_id: str, encoded: Any, seed: int) -> Any:
    import numpy as np

    from stillhouse.core.targets import TargetKey, TokenTargets

    token_ids = encoded.ids[encoded.is_trained]
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(TOP_K + 1), len(token_ids))[:, :TOP_K] + 1e-6
    logprobs = -np.sort(-np.log(shares), axis=1)
    step = rng.integers(1, 40, (len(token_ids), TOP_K)).cumsum(1)
    return TokenTargets(
        key=TargetKey(example_id, encoded.completion_digest, encoded.view_digest),
        token_ids=token_ids,
        byte_offsets=encoded.byte_offsets[encoded.is_trained],
        observed_logprobs=np.full(len(token_ids), -1.0, np.float32),
        top_ids=step.astype(np.int32),
        top_logprobs=logprobs.astype(np.float32),
        log_z=np.zeros((len(token_ids), 1), np.float32),
    )


if __name__ == "__main__":
    told = child_spec()
    child(told) if told else main()
