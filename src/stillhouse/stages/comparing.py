"""What every candidate's evaluation shares: its answers compared, and what is said of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Completion
from stillhouse.evals.agreement import HOLDOUTS_OWN
from stillhouse.evals.answers import score_agreement, score_objects, score_schema, score_texts
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.calibration import expected_calibration_error
from stillhouse.evals.estimates import estimate_metric
from stillhouse.evals.field_agreement import score_field_agreement
from stillhouse.evals.fields import compare_fields, note_fields, score_fields
from stillhouse.evals.metric import Metric
from stillhouse.evals.metrics import metrics_of
from stillhouse.evals.reliability import reliability
from stillhouse.evals.scores import Column, Scores
from stillhouse.evals.slices import summarise_slices
from stillhouse.evals.summary import (
    CalibrationSummary,
    EvaluationSummary,
    MetricSummary,
    SizeSummary,
)
from stillhouse.evals.without_right import TEACHERS_ANSWERS, without_right
from stillhouse.recipes.measuring import Evaluate
from stillhouse.stages.further import further_columns
from stillhouse.stages.measured import Measured, read_answers, texts_of
from stillhouse.stages.slices import cut_by_slices

BY_CLASS = (
    "the probability of the class that was written, among all classes; an answer that names none "
    "counts as sure and wrong"
)
_ON_SLICES = ("exact_match", "field_accuracy", "kl_to_teacher", "cross_entropy")
"""What is told of each part where the recipe names no metrics."""
_NEARNESS = ("bleu", "chrf", "rouge_l", "mae", "rmse")
_AS_TEACHER = ("agreement", "field_agreement", "kl_to_teacher", "cross_entropy")
"""The same where the teacher's answers are measured against."""


@dataclass(frozen=True, slots=True)
class Answers:
    """A candidate's answers.

    Attributes:
        measured: the examples.
        said: one completion an example, in the same order.
        settings: the recipe's.
        as_objects: compare as JSON, field by field.
        schema: a JSON Schema that answers should keep; None for any.
        is_reference: they are what all others are measured against.
    """

    measured: Measured
    said: Sequence[Completion]
    settings: Evaluate
    as_objects: bool
    schema: Mapping[str, Any] | None = None
    is_reference: bool = False

    @property
    def by_teacher(self) -> bool:
        """Whether the teacher's answers are measured against: nobody knows what is right."""
        return self.measured.reference == "teacher"

    @property
    def texts(self) -> list[str]:
        """What was said."""
        return texts_of(self.said)

    def compared(self) -> dict[str, Column]:
        """The answers against the references: whole, field by field, and against the schema."""
        compare = score_objects if self.as_objects else score_texts
        references = self.measured.references()
        columns = compare(self.texts, references)
        of_fields = compare_fields if self.by_teacher else score_fields
        columns |= of_fields(
            self.settings.fields, self.texts, references, as_objects=self.as_objects
        )
        if self.by_teacher:
            columns = without_right(columns, is_teacher=self.is_reference)
        columns |= further_columns(self.settings.measures, self.measured.examples, self.texts)
        return columns | (score_schema(self.texts, self.schema) if self.schema else {})

    def right(self, columns: Mapping[str, Column]) -> Column:
        """(N,) 1 where an answer is right; beside a field for the confidence, in every other."""
        name = self.settings.confidence_field
        if not name or "fields" not in columns:
            return columns["exact"]
        # A reference may say how sure it is too, and nobody need be as sure.
        known = columns["fields"] - columns.get(f"field_asked:{name}", 0.0)
        right = columns["fields_right"] - columns.get(f"field:{name}", 0.0)
        return ((known > 0) & (right == known)).astype(np.float64)

    def scores(self, columns: Mapping[str, Column]) -> Scores:
        """Scores with the parts that each example lies in.

        Args:
            columns: what was measured.

        Returns:
            Scores without a value that is not a number.

        Raises:
            InputError: a column holds one, or a slice names no column of the rows.
        """
        parts = cut_by_slices(
            self.measured.examples,
            self.measured.fields,
            self.settings,
            as_objects=self.as_objects,
        )
        scores = Scores(self.measured.ids, {**columns, **parts})
        refuse_not_numbers(scores)
        return scores

    def of_the_teacher(self) -> dict[str, Column]:
        """The columns of a comparison of the teacher with itself."""
        return {"agreement": np.ones(len(self.said))} | self._fields_against(self.texts)

    def against_teacher(self, folder: Path) -> dict[str, Column]:
        """The columns of a comparison with the answers of the teacher's evaluation."""
        return self.against(texts_of(read_answers(folder, self.measured)))

    def against(self, teacher: Sequence[str]) -> dict[str, Column]:
        """The columns of a comparison with the teacher's answers to the same examples."""
        same = score_agreement(self.texts, teacher, as_objects=self.as_objects)
        return same | self._fields_against(teacher)

    def _fields_against(self, teacher: Sequence[str]) -> dict[str, Column]:
        return score_field_agreement(
            self.settings.fields,
            self.texts,
            teacher,
            together=self.settings.agree_together,
            as_objects=self.as_objects,
        )

    def notes(self) -> dict[str, str]:
        """What people should know of some metrics."""
        if self.by_teacher:
            return self._notes_by_teacher()
        gold = f"on the {self.measured.part}'s own answers, as they were given"
        notes = {"cross_entropy": gold, "perplexity": gold}
        if any(item.reference not in (None, item.answer) for item in self.measured.examples):
            against = "against the reference, which differs from the answers that are learned"
            notes |= dict.fromkeys(("exact_match", "field_accuracy"), against)
        return notes | note_fields(
            self.settings.fields,
            self.texts,
            self.measured.references(),
            as_objects=self.as_objects,
        )

    def _notes_by_teacher(self) -> dict[str, str]:
        own = note_fields(
            self.settings.fields,
            self.texts,
            self.measured.references(),
            as_objects=self.as_objects,
        )
        on = dict.fromkeys(("cross_entropy", "perplexity"), f"on {TEACHERS_ANSWERS}")
        near = {
            f"{metric}.{name}": " ".join(
                filter(None, (f"against {TEACHERS_ANSWERS}", own.get(f"{metric}.{name}")))
            )
            for name in self.settings.fields
            for metric in _NEARNESS
        }
        return own | on | near


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


@dataclass(frozen=True, slots=True)
class Told:
    """What an evaluation says beside its scores.

    Attributes:
        notes: by metric.
        confidence: where it comes from.
        size: of the candidate; None for one behind an API.
        left_out: of a teacher that others are measured against, reason to rows.
    """

    notes: Mapping[str, str] = field(default_factory=dict)
    confidence: str = ""
    size: SizeSummary | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)


_NOTHING = Told()


def summarise(answers: Answers, scores: Scores, told: Told = _NOTHING) -> dict[str, Any]:
    """What an evaluation says of itself, every metric with its interval, as JSON values.

    Args:
        answers: of the candidate.
        scores: of the same examples.
        told: what else is known.

    Returns:
        An `EvaluationSummary`.
    """
    settings = answers.settings
    resampling = Resampling(settings.draws, settings.confidence, settings.seed)
    metrics = summarise_metrics(scores, resampling, answers.notes() | dict(told.notes))
    if answers.by_teacher:
        metrics = {name: _on_teachers(one) for name, one in metrics.items()}
    on_slices = settings.metrics or (_AS_TEACHER if answers.by_teacher else _ON_SLICES)
    summary = EvaluationSummary(
        examples=len(answers.measured.examples),
        cut=sum(completion.finish == "length" for completion in answers.said),
        metrics=metrics,
        slices=tuple(summarise_slices(scores, on_slices, resampling)),
        calibration=_calibration(scores, settings.confidence, told.confidence),
        size=told.size,
        reference=answers.measured.reference,
        left_out=dict(told.left_out),
    )
    plain = summary.model_dump(mode="json")
    # Where gold answers are measured against, nothing is said that was not said before.
    return plain if answers.by_teacher else _without(plain, ("reference", "left_out"))


def _without(plain: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in plain.items() if name not in names}


def _on_teachers(metric: MetricSummary) -> MetricSummary:
    """The same, defined on the text that it was measured on."""
    told = metric.definition.replace(HOLDOUTS_OWN, TEACHERS_ANSWERS)
    return metric.model_copy(update={"definition": told})


def _calibration(scores: Scores, level: float, note: str) -> tuple[CalibrationSummary, ...]:
    found = []
    if scores.has("confidence"):
        columns = scores.column("confidence"), scores.column("correct")
        found.append(_reliability(*columns, level, ("answer", "Whole answers", note)))
    for name, asked in scores.columns.items():
        kind, _, field = name.partition(":")
        if kind == "confidence_asked":
            sure, right = (scores.column(f"{of}:{field}") for of in ("confidence", "correct"))
            told = (field, f"The class under {field}", BY_CLASS)
            found.append(_reliability(sure[asked > 0], right[asked > 0], level, told))
    return tuple(found)


def _reliability(
    confidence: Column, correct: Column, level: float, told: tuple[str, str, str]
) -> CalibrationSummary:
    of, title, note = told
    columns_N2 = np.stack([confidence, correct], axis=1)
    error = float(expected_calibration_error(columns_N2, np.ones((1, len(confidence))))[0])
    bins = reliability(confidence, correct, level=level)
    return CalibrationSummary(of=of, title=title, bins=bins, error=error, note=note)


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
