"""The reliability diagram's data: what was right among the answers of about one confidence."""

from __future__ import annotations

import numpy as np

from stillhouse.evals.calibration import BINS, bins_of
from stillhouse.evals.proportions import exact_interval
from stillhouse.evals.scores import Column
from stillhouse.evals.summary import CalibrationBin


def reliability(
    confidence: Column, correct: Column, *, bins: int = BINS, level: float = 0.95
) -> tuple[CalibrationBin, ...]:
    """What a reliability diagram shows.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) 0 or 1.
        bins: of equal width, open below and closed above.
        level: of the exact intervals of the accuracy, in (0, 1).

    Returns:
        The bins with answers, in order.

    Source: Guo et al. 2017, arXiv:1706.04599, section 2; the intervals: Clopper & Pearson 1934.
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    places = bins_of(confidence, bins)
    found = []
    for place in np.unique(places):
        inside = places == place
        n, right = int(inside.sum()), int(correct[inside].sum())
        low, high = exact_interval(right, n, level)
        found.append(
            CalibrationBin(
                low=float(edges[place]),
                high=float(edges[place + 1]),
                n=n,
                confidence=float(confidence[inside].mean()),
                accuracy=right / n,
                accuracy_low=low,
                accuracy_high=high,
            )
        )
    return tuple(found)
