"""Evaluate a GGUF file of a bundle: what llama.cpp answers with it, and how it scores the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stillhouse.core.protocols import Progress
from stillhouse.core.rows import Completion
from stillhouse.engines.gguf_head import read_gguf_head
from stillhouse.engines.llama_cpp import GgufSettings, LlamaCppEngine
from stillhouse.evals.scores import Column
from stillhouse.evals.summary import SizeSummary
from stillhouse.export.bundle_files import BUNDLE
from stillhouse.models.distance import score_stored
from stillhouse.recipes.gguf_names import gguf_file
from stillhouse.stages.confidence import score_own_confidence
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.evaluate import Candidate, measure, score_columns
from stillhouse.targets.read import TargetReader


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write `completions.parquet` and `scores.parquet`."""
    candidates: list[_GgufCandidate] = []

    def build(*told: Any) -> _GgufCandidate:
        candidates.append(_GgufCandidate(*told))
        return candidates[0]

    try:
        return measure(request, progress, build)
    finally:
        for candidate in candidates:
            candidate.close()


class _GgufCandidate(Candidate):
    """One file on the examples that are measured."""

    scores_classes = False  # of a model in memory alone

    def close(self) -> None:
        """End llama.cpp's process."""
        self._engine.close()

    def confidence(self, said: Sequence[Completion], right: Column) -> dict[str, Column]:
        """How likely it found its own tokens."""
        return score_own_confidence(self.settings, said, right)

    def _open(self) -> tuple[Any, SizeSummary]:
        config, corpus = self._request.config, self._corpus
        path = gguf_file(self._request.inputs["model"] / BUNDLE, config["gguf"])
        head = read_gguf_head(path)
        # The whole distribution, so that the distance to the teacher needs no bound of its own.
        scoring = replace(self._scoring, top_k=corpus.tokenizer.vocab_size)
        settings = GgufSettings(threads=config["threads"], top_logprobs=0)
        engine = LlamaCppEngine(path, corpus.tokenizer, corpus.template, scoring, settings=settings)
        return engine, SizeSummary(
            parameters=head.num_parameters,
            bytes_by_dtype=head.bytes_by_kind(),
            disk_bytes=path.stat().st_size,
            dtype=config["gguf"],
        )

    def _score_student(self, stored: Path) -> dict[str, Column]:
        reader = TargetReader(stored)
        vocab_size = self._corpus.tokenizer.vocab_size
        return score_columns(
            [
                score_stored(own, reader.get(example.example_id), vocab_size=vocab_size)
                for example, own in zip(
                    self._examples, self._engine.score(self._examples), strict=True
                )
            ]
        )
