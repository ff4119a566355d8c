"""What every candidate's evaluation shares: its answers compared, and what is said of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Completion
from stillhouse.evals.answers import score_agreement, score_objects, score_texts
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.gates import estimate_metric
from stillhouse.evals.metric import Metric
from stillhouse.evals.metrics import metrics_of
from stillhouse.evals.scores import Column, Scores
from stillhouse.evals.slices import summarise_slices
from stillhouse.evals.summary import EvaluationSummary, MetricSummary
from stillhouse.recipes.measuring import Evaluate
from stillhouse.stages.measured import Measured, read_answers, texts_of
from stillhouse.stages.slices import cut_by_slices

_ON_SLICES = ("exact_match", "field_accuracy", "kl_to_teacher", "cross_entropy")
"""What is told of each part where the recipe names no metrics."""


@dataclass(frozen=True, slots=True)
class Answers:
    """A candidate's answers.

    Attributes:
        measured: the examples.
        said: one completion an example, in the same order.
        settings: the recipe's.
        as_objects: compare as JSON, field by field.
    """

    measured: Measured
    said: Sequence[Completion]
    settings: Evaluate
    as_objects: bool

    def scores(self, columns: Mapping[str, Column]) -> Scores:
        """The answers against the references, and the parts they lie in, beside other columns.

        Args:
            columns: other scores of the same examples.

        Returns:
            Scores without a value that is not a number.

        Raises:
            InputError: a column holds one, or a slice names no column of the rows.
        """
        compare = score_objects if self.as_objects else score_texts
        own = compare(texts_of(self.said), self.measured.references())
        parts = cut_by_slices(self.measured.examples, self.measured.fields, self.settings)
        scores = Scores(self.measured.ids, {**columns, **own, **parts})
        refuse_not_numbers(scores)
        return scores

    def of_the_teacher(self) -> dict[str, Column]:
        """The columns of a comparison of the teacher with itself."""
        return {"agreement": np.ones(len(self.said))}

    def against_teacher(self, folder: Path) -> dict[str, Column]:
        """The columns of a comparison with the answers of the teacher's evaluation."""
        teacher = texts_of(read_answers(folder, self.measured))
        return score_agreement(texts_of(self.said), teacher, as_objects=self.as_objects)

    def notes(self) -> dict[str, str]:
        """What people should know of some metrics."""
        gold = f"on the {self.measured.part}'s own answers, as they were given"
        notes = {"cross_entropy": gold, "perplexity": gold}
        if any(item.reference not in (None, item.answer) for item in self.measured.examples):
            against = "against the reference, which differs from the answers that are learned"
            notes |= dict.fromkeys(("exact_match", "field_accuracy"), against)
        return notes


def refuse_not_numbers(scores: Scores) -> None:
    """Raise where a score is no finite number.

    Args:
        scores: of a candidate.

    Raises:
        InputError: names the column and the example.
    """
    for name, values in scores.columns.items():
        wrong = np.flatnonzero(~np.isfinite(values))
        if wrong.size:
            first = int(wrong[0])
            raise InputError(
                f"the score {name} of example {scores.example_ids[first]} is {values[first]}, as "
                f"of {wrong.size} of {len(scores)} examples",
                "does the model give logits that are numbers? compute.dtype: float32 holds larger "
                "ones than 16 bits",
            )


def summarise(
    answers: Answers, scores: Scores, notes: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What an evaluation says of itself, every metric with its interval, as JSON values.

    Args:
        answers: of the candidate.
        scores: of the same examples.
        notes: further notes, by metric.

    Returns:
        An `EvaluationSummary`.
    """
    settings = answers.settings
    resampling = Resampling(settings.draws, settings.confidence, settings.seed)
    summary = EvaluationSummary(
        examples=len(answers.measured.examples),
        cut=sum(completion.finish == "length" for completion in answers.said),
        metrics=summarise_metrics(scores, resampling, answers.notes() | dict(notes or {})),
        slices=tuple(summarise_slices(scores, settings.metrics or _ON_SLICES, resampling)),
    )
    return summary.model_dump(mode="json")


def summarise_metrics(
    scores: Scores, resampling: Resampling, notes: Mapping[str, str]
) -> dict[str, MetricSummary]:
    """Every metric that scores have columns for, by name, with its interval.

    A metric that is not defined on these examples, such as fields of answers that are no objects,
    is left out.
    """
    estimates = {
        metric: estimate_metric(metric, scores, resampling) for metric in metrics_of(scores)
    }
    return {
        metric.name: MetricSummary(
            **dataclasses.asdict(estimate), **_told(metric), note=notes.get(metric.name, "")
        )
        for metric, estimate in estimates.items()
        if all(map(math.isfinite, (estimate.value, estimate.low, estimate.high)))
    }


def _told(metric: Metric) -> dict[str, Any]:
    shown = ("title", "better", "unit", "definition", "source")
    return {name: getattr(metric, name) for name in shown}
