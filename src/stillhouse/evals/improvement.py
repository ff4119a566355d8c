"""What changed for each item against another system, gains and losses apart: a mean hides both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtrc

from stillhouse.core.errors import ShapeError
from stillhouse.evals.judged import Judged
from stillhouse.evals.metric import Metric
from stillhouse.evals.scores import Column

ENOUGH = 0.1
"""A gain or a loss of at most this is no change: ten points of the score, and no verdict."""

_SCALE = 100.0

METRICS = (
    Metric(
        "improved_share",
        "Better than the other system",
        "higher",
        f"Share of items whose improvement is more than {ENOUGH:g}: the other's error of the score "
        "minus its own, over 100, plus 1 for a verdict set right, minus 1 for one spoilt.",
        ("improved", "compared"),
        counted="compared",
        is_fraction=True,
    ),
    Metric(
        "worsened_share",
        "Worse than the other system",
        "lower",
        f"Share of items whose improvement is less than -{ENOUGH:g}.",
        ("worsened", "compared"),
        counted="compared",
        is_fraction=True,
    ),
    Metric(
        "improvement",
        "Improvement over the other system",
        "higher",
        "Mean improvement an item, gains and losses together.",
        ("improvement", "compared"),
        counted="compared",
        scale=(-2.0, 2.0),
    ),
)


@dataclass(frozen=True, slots=True)
class SignTest:
    """Whether gains outnumber losses by more than chance.

    Attributes:
        improved: items that gained.
        worsened: items that lost.
        p_value: how likely so many gains or more are where gain and loss are equally likely.
    """

    improved: int
    worsened: int
    p_value: float


def improvement_columns(
    own: Sequence[Judged], other: Sequence[Judged], known: Sequence[Judged]
) -> dict[str, Column]:
    """The columns that `METRICS` need.

    Args:
        own: the candidate's judgements.
        other: those of the system that it is compared with, such as the rules or what runs now.
        known: the references'; one without a score is not compared.

    Returns:
        `compared`, `improvement`, `improved` and `worsened`.

    Raises:
        ShapeError: the three are of different lengths.
    """
    if not len(own) == len(other) == len(known):
        raise ShapeError(
            f"{len(own)} judgements, {len(other)} of the other system and {len(known)} references "
            "cannot be compared one by one"
        )
    compared = np.array([float(true.score is not None) for true in known])
    gains = [
        (_error(theirs, true) - _error(ours, true)) / _SCALE
        + _is_right(ours, true)
        - _is_right(theirs, true)
        for ours, theirs, true in zip(own, other, known, strict=True)
    ]
    # Rounded, so that a change of exactly ten points is none.
    improvement = np.round(np.array(gains, dtype=np.float64), 9) * compared
    return {
        "compared": compared,
        "improvement": improvement,
        "improved": (improvement > ENOUGH).astype(np.float64),
        "worsened": (improvement < -ENOUGH).astype(np.float64),
    }


def _error(said: Judged, known: Judged) -> float:
    """Points; the most there are for an answer without a score."""
    if said.score is None:
        return _SCALE
    return abs(said.score - (known.score or 0.0))


def _is_right(said: Judged, known: Judged) -> float:
    return float(bool(said.verdict) and said.verdict == known.verdict)


def sign_test(improvement: Column) -> SignTest:
    """Whether gains outnumber losses by more than chance, one-sided.

    Args:
        improvement: (N,) of each item; a change of at most `ENOUGH` is none, and is left out.

    Returns:
        With neither gain nor loss the p-value is 1.

    Source: Conover 1999, Practical Nonparametric Statistics, section 3.4.
    """
    gains = int((improvement > ENOUGH).sum())
    losses = int((improvement < -ENOUGH).sum())
    if gains + losses == 0:
        return SignTest(0, 0, 1.0)
    # At least so many gains: more than one fewer.
    return SignTest(gains, losses, float(bdtrc(gains - 1, gains + losses, 0.5)))
