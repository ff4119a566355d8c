"""Whether verified Christian songs score high and all others do not, with both halves apart.

The share alone can be had by always saying yes where most songs are Christian, so sensitivity and
specificity stand beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stillhouse.evals.judged import HIGH, Judged
from stillhouse.evals.metric import Metric
from stillhouse.evals.scores import Column

METRICS = (
    Metric(
        "christian_accuracy",
        "Christian accuracy",
        "higher",
        f"Share of songs that score {HIGH:g} or more where they are verified Christian, and less "
        "where they are known not to be.",
        ("christian_right", "christian_asked"),
        counted="christian_asked",
        is_fraction=True,
    ),
    Metric(
        "christian_sensitivity",
        "Christian songs found",
        "higher",
        f"Share of verified Christian songs that score {HIGH:g} or more.",
        ("christian_found", "christian"),
        counted="christian",
        is_fraction=True,
    ),
    Metric(
        "christian_specificity",
        "Other songs told apart",
        "higher",
        f"Share of songs known not to be Christian that score less than {HIGH:g}.",
        ("others_right", "others"),
        counted="others",
        is_fraction=True,
    ),
)


def christian_columns(said: Sequence[Judged], verified: Sequence[bool | None]) -> dict[str, Column]:
    """The columns that `METRICS` need.

    Args:
        said: the candidate's judgements; one without a score is wrong either way.
        verified: whether each song is Christian; None where nobody knows, which is not asked.

    Returns:
        Six columns of 0 and 1.
    """
    rows = [
        (truth is True, truth is False, one.score is not None, (one.score or 0.0) >= HIGH)
        for one, truth in zip(said, verified, strict=True)
    ]
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    yes, no, has_score, is_high = table.T
    found, right = yes * has_score * is_high, no * has_score * (1.0 - is_high)
    return {
        "christian": yes,
        "others": no,
        "christian_asked": yes + no,
        "christian_found": found,
        "others_right": right,
        "christian_right": found + right,
    }
