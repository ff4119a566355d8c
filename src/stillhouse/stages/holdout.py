"""What every candidate's evaluation shares: the holdout, its answers compared, the metrics."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Completion, Example
from stillhouse.data.storage import read_completions
from stillhouse.evals.answers import score_agreement, score_objects, score_texts
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.estimates import estimate_metric
from stillhouse.evals.metrics import metrics_of
from stillhouse.evals.scores import Column, Scores
from stillhouse.recipes.measuring import Evaluate
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.evaluate_files import COMPLETIONS


def find_holdout(corpus: Corpus) -> list[Example]:
    """The examples that are measured: those of the holdout that have an answer.

    Args:
        corpus: of the run.

    Returns:
        At least one.

    Raises:
        InputError: there is none.
    """
    holdout = [example for example in corpus.of_parts(["holdout"]) if example.answer is not None]
    if not holdout:
        raise InputError(
            "no holdout example has an answer, so nothing can be measured",
            "name the column that holds answers under prepare.answer",
        )
    return holdout


@dataclass(frozen=True, slots=True)
class Answers:
    """A candidate's answers on the holdout.

    Attributes:
        holdout: the examples.
        said: one completion an example, in the same order.
        as_objects: compare as JSON, field by field.
    """

    holdout: Sequence[Example]
    said: Sequence[Completion]
    as_objects: bool

    @property
    def texts(self) -> list[str]:
        """What was said."""
        return [completion.text for completion in self.said]

    def scores(self, columns: Mapping[str, Column]) -> Scores:
        """The answers against the references, beside other columns."""
        references = [item.reference or item.answer for item in self.holdout]
        compare = score_objects if self.as_objects else score_texts
        own = compare(self.texts, references)
        ids = tuple(example.example_id for example in self.holdout)
        return Scores(ids, {**columns, **own})

    def of_the_teacher(self) -> dict[str, Column]:
        """The columns of a comparison of the teacher with itself."""
        return {"agreement": np.ones(len(self.said))}

    def against_teacher(self, folder: Path) -> dict[str, Column]:
        """The columns of a comparison with the answers of the teacher's evaluation."""
        texts = {item.example_id: item.text for item in read_completions(folder / COMPLETIONS)}
        teacher = [texts[example.example_id] for example in self.holdout]
        return score_agreement(self.texts, teacher, as_objects=self.as_objects)

    def notes(self) -> dict[str, str]:
        """What people should know of some metrics."""
        gold = "on the holdout's own answers, as they were given"
        notes = {"cross_entropy": gold, "perplexity": gold}
        if any(item.reference not in (None, item.answer) for item in self.holdout):
            against = "against the reference, which differs from the answers that are learned"
            notes |= dict.fromkeys(("exact_match", "field_accuracy"), against)
        return notes


def summarise(
    answers: Answers, scores: Scores, settings: Evaluate, notes: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What an evaluation says of itself, every metric with its interval, as JSON values.

    Args:
        answers: of the candidate.
        scores: of the same examples.
        settings: the recipe's.
        notes: further notes, by metric.

    Returns:
        Examples, cut answers and metrics.
    """
    resampling = Resampling(settings.draws, settings.confidence, settings.seed)
    told = answers.notes() | dict(notes or {})
    estimates = {
        metric: estimate_metric(metric, scores, resampling) for metric in metrics_of(scores)
    }
    # A metric that is not defined on these examples, such as fields of answers that are no
    # objects, is left out.
    metrics = {
        metric.name: dataclasses.asdict(estimate)
        | {
            "title": metric.title,
            "better": metric.better,
            "unit": metric.unit,
            "note": told.get(metric.name, ""),
        }
        for metric, estimate in estimates.items()
        if all(map(math.isfinite, (estimate.value, estimate.low, estimate.high)))
    }
    cut = sum(completion.finish == "length" for completion in answers.said)
    return {"examples": len(answers.holdout), "cut": cut, "metrics": metrics}
