"""The reliability diagram's data: what was right among the answers of about one confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from stillhouse.evals.calibration import BINS, bins_of
from stillhouse.evals.scores import Column


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The answers of about one confidence.

    Attributes:
        above: confidences in the bin are larger; the first bin holds 0 too.
        up_to: they are at most this.
        n: answers.
        confidence: their mean; None where there are none.
        accuracy: share that is right; None where there are none.
        low: lower bound of the share's exact interval.
        high: upper bound.
    """

    above: float
    up_to: float
    n: int
    confidence: float | None
    accuracy: float | None
    low: float
    high: float


def reliability(
    confidence: Column, correct: Column, *, bins: int = BINS, level: float = 0.95
) -> list[ReliabilityBin]:
    """What a reliability diagram shows.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) 0 or 1.
        bins: of equal width.
        level: of the exact intervals, in (0, 1).

    Returns:
        One a bin, the empty ones too.

    Source: Guo et al. 2017, section 2; the intervals: Clopper & Pearson 1934.
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    places = bins_of(confidence, bins)
    found = []
    for place in range(bins):
        inside = places == place
        n, right = int(inside.sum()), int(correct[inside].sum())
        low, high = _exact(right, n, level)
        found.append(
            ReliabilityBin(
                above=float(edges[place]),
                up_to=float(edges[place + 1]),
                n=n,
                confidence=float(confidence[inside].mean()) if n else None,
                accuracy=right / n if n else None,
                low=low,
                high=high,
            )
        )
    return found


def _exact(right: int, n: int, level: float) -> tuple[float, float]:
    tail = (1.0 - level) / 2.0
    low = float(betaincinv(right, n - right + 1, tail)) if right else 0.0
    high = float(betaincinv(right + 1, n - right, 1.0 - tail)) if right < n else 1.0
    return low, high
