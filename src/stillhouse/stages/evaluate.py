"""Evaluate: one candidate on the holdout: its answers, and its scores on the gold text."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse.core.errors import InputError
from stillhouse.core.protocols import Progress
from stillhouse.core.rows import Completion, Example
from stillhouse.core.sampling import Sampling
from stillhouse.data.storage import read_completions, write_completions
from stillhouse.engines.transformers import TransformersEngine
from stillhouse.evals.answers import score_agreement, score_objects, score_texts
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.gates import estimate_metric
from stillhouse.evals.metrics import metrics_of
from stillhouse.evals.scores import Column, Scores, write_scores
from stillhouse.models.distance import score_against
from stillhouse.models.score import Scoring
from stillhouse.recipes.measuring import Evaluate
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import Corpus, open_corpus
from stillhouse.stages.evaluate_files import COMPLETIONS, SCORES, TARGETS
from stillhouse.stages.sections import section_of
from stillhouse.stages.weights import finished_model, use_compute
from stillhouse.targets.header import TargetHeader
from stillhouse.targets.read import TargetReader
from stillhouse.targets.write import TargetWriter

_SHARD_EXAMPLES = 512


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write `completions.parquet` and `scores.parquet`; for the teacher also its `targets`."""
    use_compute(request.config)
    corpus = open_corpus(request.inputs["examples"])
    holdout = [example for example in corpus.of_parts(["holdout"]) if example.answer is not None]
    if not holdout:
        raise InputError(
            "no holdout example has an answer, so nothing can be measured",
            "name the column that holds answers under prepare.answer",
        )
    candidate = _Candidate(request, corpus, holdout)
    said = candidate.complete(progress)
    write_completions(request.out / COMPLETIONS, said)
    columns = candidate.score()
    columns |= candidate.compare(said)
    scores = Scores(tuple(example.example_id for example in holdout), columns)
    write_scores(request.out / SCORES, scores)
    cut = sum(completion.finish == "length" for completion in said)
    return StageResult(
        {"examples": len(holdout), "cut": cut, "metrics": candidate.summarise(scores)}
    )


class _Candidate:
    """One model on the holdout."""

    def __init__(self, request: StageRequest, corpus: Corpus, holdout: list[Example]) -> None:
        config = request.config
        self._request = request
        self._settings = section_of(Evaluate, config["evaluate"])
        self._corpus = corpus
        self._holdout = holdout
        self._is_teacher = request.variant == "teacher"
        artifact = request.inputs.get("teacher" if self._is_teacher else "model")
        folder = request.locations.get("teacher" if self._is_teacher else "student")
        self._model = finished_model(config, artifact, folder)
        vocab_size = corpus.tokenizer.vocab_size
        self._scoring = Scoring(
            vocab_size,
            min(self._settings.top_k, vocab_size),
            (1.0,),
            self._settings.batch_size,
        )
        self._engine = TransformersEngine(
            self._model, corpus.tokenizer, corpus.template, self._scoring
        )

    def complete(self, progress: Progress) -> list[Completion]:
        sampling = Sampling(self._request.config["max_new_tokens"], 0.0, self._settings.batch_size)
        said = []
        for completion in self._engine.generate(self._holdout, sampling):
            said.append(completion)
            progress(len(said), len(self._holdout), "examples")
        return said

    def score(self) -> dict[str, Column]:
        """Sums over each example's trained tokens, on its gold text."""
        return self._score_teacher() if self._is_teacher else self._score_student()

    def _score_teacher(self) -> dict[str, Column]:
        header = TargetHeader(
            engine="transformers",
            weights_digest=self._request.artifact_id,
            tokenizer_digest=self._corpus.tokenizer.digest,
            template_digest=self._corpus.template.digest,
            vocab_size=self._scoring.vocab_size,
            top_k=self._scoring.top_k,
            kd_temperatures=self._scoring.kd_temperatures,
            dtype=self._request.config["dtype"],
        )
        nll, tokens = [], []
        with TargetWriter(self._request.out / TARGETS, header, _SHARD_EXAMPLES) as writer:
            for targets in self._engine.score(self._holdout):
                writer.append(targets)
                nll.append(-float(targets.observed_logprobs.sum(dtype=np.float64)))
                tokens.append(float(len(targets.token_ids)))
        return {
            "tokens": np.array(tokens),
            "nll": np.array(nll),
            "kl": np.zeros(len(nll)),
            "top1": np.array(tokens),
        }

    def _score_student(self) -> dict[str, Column]:
        reader = TargetReader(self._request.inputs["teacher"] / TARGETS)
        texts = [(item.example_id, self._corpus.encode(item)) for item in self._holdout]
        targets = [reader.get(example_id) for example_id, _ in texts]
        found = score_against(
            self._model,
            texts,
            targets,
            vocab_size=self._scoring.vocab_size,
            batch_size=self._scoring.batch_size,
        )
        return {
            "tokens": np.array([float(score.num_tokens) for score in found]),
            "nll": np.array([score.nll_sum for score in found]),
            "kl": np.array([score.kl_sum for score in found]),
            "top1": np.array([float(score.num_agreeing) for score in found]),
        }

    def compare(self, said: Sequence[Completion]) -> dict[str, Column]:
        """Answers against references, and against the teacher's answers."""
        as_objects = self._request.config["answer_format"] == "json"
        texts = [completion.text for completion in said]
        references = [item.reference or item.answer for item in self._holdout]
        columns = (score_objects if as_objects else score_texts)(texts, references)
        if self._is_teacher:
            return columns | {"agreement": np.ones(len(texts))}
        teacher = _texts_of(self._request.inputs["teacher"], self._holdout)
        return columns | score_agreement(texts, teacher, as_objects=as_objects)

    def summarise(self, scores: Scores) -> dict[str, dict[str, Any]]:
        """Every metric with its interval, as plain values."""
        settings = self._settings
        resampling = Resampling(settings.draws, settings.confidence, settings.seed)
        notes = self._notes()
        estimates = {
            metric: estimate_metric(metric, scores, resampling) for metric in metrics_of(scores)
        }
        # A metric that is not defined on these examples, such as fields of answers that are no
        # objects, is left out.
        return {
            metric.name: dataclasses.asdict(estimate)
            | {
                "title": metric.title,
                "better": metric.better,
                "unit": metric.unit,
                "note": notes.get(metric.name, ""),
            }
            for metric, estimate in estimates.items()
            if all(map(math.isfinite, (estimate.value, estimate.low, estimate.high)))
        }

    def _notes(self) -> dict[str, str]:
        gold = "on the holdout's own answers, as they were given"
        notes = {"cross_entropy": gold, "perplexity": gold}
        if any(item.reference not in (None, item.answer) for item in self._holdout):
            against = "against the reference, which differs from the answers that are learned"
            notes |= dict.fromkeys(("exact_match", "field_accuracy"), against)
        if self._scoring.top_k < self._scoring.vocab_size:
            notes["kl_to_teacher"] = (
                f"a lower bound: the teacher's {self._scoring.top_k} likeliest tokens, and all "
                "others as one"
            )
        return notes


def _texts_of(folder: Path, holdout: Sequence[Example]) -> list[str]:
    texts = {item.example_id: item.text for item in read_completions(folder / COMPLETIONS)}
    return [texts[example.example_id] for example in holdout]
