"""Kinds of wrong judgements: a column of 0 and 1 for each, so that a mean hides none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from stillhouse.evals.judged import HIGH, LOW, Judged
from stillhouse.evals.metric import Metric
from stillhouse.evals.scores import Column, Scores

_PREFIX = "category:"
"""Not `error:`, which is the error of a field that is a number and may be called as a category."""
_ASKED = "errors_asked"
_FAR = 20.0  # paper: none; the points beyond which the founding plan calls a score wrong


def _scored(test: Callable[[float, float], bool]) -> Callable[[Judged, Judged], bool]:
    def has_error(said: Judged, known: Judged) -> bool:
        if said.score is None or known.score is None:
            return False
        return test(said.score, known.score)

    return has_error


def _themes_differ(said: Judged, known: Judged) -> bool:
    return bool(said.themes | known.themes) and not said.themes & known.themes


def _scripture_mismatches(said: Judged, known: Judged) -> bool:
    both = said.passages and known.passages
    return not said.is_supported or bool(both and not said.passages & known.passages)


CATEGORIES: dict[str, tuple[str, Callable[[Judged, Judged], bool]]] = {
    "false_positive_christian": (
        f"score {HIGH:g} or more where the reference scores less than {LOW:g}",
        _scored(lambda said, known: said >= HIGH and known < LOW),
    ),
    "false_negative_christian": (
        f"score less than {LOW:g} where the reference scores {HIGH:g} or more",
        _scored(lambda said, known: said < LOW and known >= HIGH),
    ),
    "score_overestimate": (
        f"score more than {_FAR:g} points above the reference",
        _scored(lambda said, known: said - known > _FAR),
    ),
    "score_underestimate": (
        f"score more than {_FAR:g} points below the reference",
        _scored(lambda said, known: known - said > _FAR),
    ),
    "theme_misclassification": ("share no theme with the reference", _themes_differ),
    "scripture_mismatch": (
        "name scripture that does not exist or does not say what is quoted, or only other chapters "
        "than the reference",
        _scripture_mismatches,
    ),
    "unreadable": ("hold no score", lambda said, _: said.score is None),
}
"""Category to what answers of it do, and whether a judgement is one, given the reference.

An answer without a score is neither too high nor too low, so it has a category of its own.
"""


def error_columns(said: Sequence[Judged], known: Sequence[Judged]) -> dict[str, Column]:
    """The columns of the categories.

    Args:
        said: the candidate's judgements.
        known: the references', in the same order; one without a score is not asked.

    Returns:
        `errors_asked`, and `category:CATEGORY` for each of `CATEGORIES`; all 0 or 1.
    """
    asked = np.array([float(one.score is not None) for one in known])
    columns = {_ASKED: asked}
    for name, (_, is_one) in CATEGORIES.items():
        found = [float(is_one(own, true)) for own, true in zip(said, known, strict=True)]
        columns[_PREFIX + name] = np.array(found) * asked
    return columns


def error_metrics(scores: Scores) -> Iterator[Metric]:
    """One metric for each category that the scores have a column for."""
    for name, (what, _) in CATEGORIES.items():
        if scores.has(_PREFIX + name):
            yield Metric(
                f"error.{name}",
                f"Error: {name.replace('_', ' ')}",
                "lower",
                f"Share of answers that {what}.",
                (_PREFIX + name, _ASKED),
                counted=_ASKED,
                is_fraction=True,
            )
