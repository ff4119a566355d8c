"""Answers that are a number on a scale: how far they are from the reference, and how often near.

An answer that cannot be read counts as the scale's end that is farther from the reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import InputError
from stillhouse.evals.bootstrap import Sums, of_sums, ratio
from stillhouse.evals.metric import Metric
from stillhouse.evals.scores import Column, Scores
from stillhouse.evals.templates import of_fields
from stillhouse.recipes.answers import AnswerKind

_WIDE = 10.0
"""assumption: a scale that ends here or beyond is not one of fractions."""


def read_number(kind: AnswerKind, value: Any) -> float | None:
    """The number that a JSON value is; None where it is none, or lies off the scale."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    low, high = kind.scale
    # Compared before it is converted: an integer may be too large for a float, and NaN is false.
    return float(value) if low <= value <= high else None


def score_numbers(
    kind: AnswerKind, said: Sequence[float | None], wanted: Sequence[float | None]
) -> dict[str, Column]:
    """Columns of one field whose answers are numbers.

    Args:
        kind: the field's.
        said: the candidate's; None where unreadable.
        wanted: the references; None where missing, which leaves every column 0.

    Returns:
        `error`, `squared_error`: (N,) >= 0. `farthest`: (N,) the largest error that there could
        be. `within`: (N,) 0 or 1, where the kind has a distance.
    """
    pairs = list(zip(said, wanted, strict=True))
    errors = np.array(
        [0.0 if want is None else abs(want - _or_worst(kind, got, want)) for got, want in pairs]
    )
    farthest = [0.0 if want is None else abs(want - _or_worst(kind, None, want)) for want in wanted]
    columns = {"error": errors, "squared_error": errors**2, "farthest": np.array(farthest)}
    if kind.within is None:
        return columns
    return columns | {
        "within": np.array([float(are_near(got, want, kind.within)) for got, want in pairs])
    }


def _or_worst(kind: AnswerKind, got: float | None, want: float) -> float:
    return max(kind.scale, key=lambda end: abs(end - want)) if got is None else got


def are_near(one: float | None, other: float | None, within: float) -> bool:
    """Whether two numbers are at most so far apart.

    Args:
        one: a number as a decimal fraction writes it; None is near to nothing.
        other: likewise.
        within: the largest distance, itself included.

    Returns:
        By decimal fractions: 59.4 is within 5 of 64.4, which the difference of floats is not.
    """
    if one is None or other is None:
        return False
    return abs(Decimal(repr(one)) - Decimal(repr(other))) <= Decimal(repr(within))


def require_scale(name: str, kind: AnswerKind, wanted: Sequence[float | None]) -> None:
    """Refuse references that are fractions where the kind says percent.

    Args:
        name: the field's.
        kind: the field's.
        wanted: the references; None where missing.

    Raises:
        InputError: all lie from 0 to 1, and some between, on a scale that goes to 10 or beyond.
    """
    known = [value for value in wanted if value is not None]
    if _may_be_fractions(kind, known) and not all(value.is_integer() for value in known):
        low, high = kind.scale
        largest = max(known)
        raise InputError(
            f"evaluate.fields.{name} goes from {low:g} to {high:g}, and no reference is above "
            f"{largest:g}: they look like fractions of 1",
            f"declare low: 0 and high: 1, or bring them onto the scale: prepare.steps "
            f"{{name: rescale, field: ..., scale: [0, 1], to: [{low:g}, {high:g}]}}",
        )


def note_scale(
    kind: AnswerKind, said: Sequence[float | None], wanted: Sequence[float | None]
) -> str:
    """What to say of answers or references that may be fractions; empty where they are not.

    Args:
        kind: the field's.
        said: the candidate's; None where unreadable.
        wanted: the references; None where missing.

    Returns:
        One sentence.
    """
    sides = (("reference", wanted), ("answer", said))
    found = [f"no {side}" for side, values in sides if _may_be_fractions(kind, values)]
    if not found:
        return ""
    low, high = kind.scale
    return f"{' and '.join(found)} is above 1 on a scale from {low:g} to {high:g}: fractions of 1?"


def _may_be_fractions(kind: AnswerKind, values: Sequence[float | None]) -> bool:
    known = [value for value in values if value is not None]
    return kind.scale[1] >= _WIDE and any(known) and all(0.0 <= value <= 1.0 for value in known)


def _root_of_ratio(sums: Sums) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.sqrt(ratio(sums))
    return found


_UNREADABLE_IS_WORST = "an unreadable answer counts as the scale's farther end"

NUMBER_METRICS = (
    Metric(
        "mae.{field}",
        "Mean error of {field}",
        "lower",
        f"Mean absolute difference from the reference; {_UNREADABLE_IS_WORST}.",
        ("error:{field}", "asked:{field}", "farthest:{field}"),
        counted="asked:{field}",
        unit="points",
        source="scikit-learn, mean_absolute_error",
    ),
    Metric(
        "rmse.{field}",
        "Root mean squared error of {field}",
        "lower",
        f"Root of the mean squared difference from the reference; {_UNREADABLE_IS_WORST}.",
        ("squared_error:{field}", "asked:{field}", "farthest:{field}"),
        of_sums(_root_of_ratio),
        counted="asked:{field}",
        unit="points",
        source="scikit-learn, root_mean_squared_error",
    ),
    Metric(
        "within.{field}",
        "Near the reference, {field}",
        "higher",
        "Share of answers at most as far from the reference as the recipe's `within`, itself "
        "included; an unreadable answer is not near.",
        ("within:{field}", "asked:{field}"),
        counted="asked:{field}",
        is_fraction=True,
    ),
)
"""What is measured of every field that is a number."""


def number_metrics(scores: Scores) -> Iterator[Metric]:
    """What is measured of every field that is a number; errors end where the field's scale does."""
    for metric in of_fields(NUMBER_METRICS)(scores):
        if metric.is_fraction:
            yield metric
        else:
            largest = float(scores.column(metric.needs[2]).max(initial=0.0))
            yield replace(metric, scale=(0.0, largest))
