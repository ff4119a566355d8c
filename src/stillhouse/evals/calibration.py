"""Whether a candidate knows when it is right: its confidence against the truth.

Legend: N examples, S columns, R resamples, B bins, G groups of equal confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import InputError
from stillhouse.evals.bootstrap import Statistic
from stillhouse.evals.metric import SHARE, Metric
from stillhouse.evals.ranks import TieGroups, auroc
from stillhouse.evals.scores import COUNT, Column

Floats = NDArray[np.float64]

BINS = 15
"""paper: Guo et al. 2017, arXiv:1706.04599, section 4."""


def score_confidence(confidence: Sequence[float], correct: Sequence[float]) -> dict[str, Column]:
    """The columns that calibration is measured from.

    Args:
        confidence: how sure the candidate is of each answer, in [0, 1].
        correct: 1 where it is right, else 0.

    Returns:
        `confidence` and `correct`: (N,).

    Raises:
        InputError: a confidence is no probability, or there are more of one than of the other.
    """
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if sure.shape != right.shape:
        raise InputError(f"{len(sure)} confidences for {len(right)} answers")
    wrong = np.flatnonzero(~((sure >= 0.0) & (sure <= 1.0)))
    if len(wrong):
        raise InputError(
            f"the confidence of example {wrong[0] + 1} is {sure[wrong[0]]:g}, no probability",
            "give numbers from 0 to 1; percents are divided by 100",
        )
    return {"confidence": sure, "correct": right}


def score_field_confidence(
    field: str, confidence: Sequence[float], correct: Sequence[float], asked: Sequence[bool]
) -> dict[str, Column]:
    """The columns that the calibration of one field is measured from.

    Args:
        field: its name.
        confidence: how sure the candidate is of the field of each answer, in [0, 1].
        correct: 1 where it is right, else 0.
        asked: whether it is known what is right; else the example counts for nothing.

    Returns:
        `confidence:FIELD`, `correct:FIELD` and `confidence_asked:FIELD`: (N,).
    """
    is_asked = np.asarray(asked, dtype=np.float64)
    found = score_confidence(confidence, correct)
    columns = {f"{name}:{field}": values * is_asked for name, values in found.items()}
    return columns | {f"confidence_asked:{field}": is_asked}


def bins_of(confidence_N: Column, bins: int) -> NDArray[np.intp]:
    """(N,) the bin of each confidence: open below and closed above; 0 goes to the first.

    Args:
        confidence_N: (N,) in [0, 1].
        bins: of equal width.

    Returns:
        From 0 to bins - 1.
    """
    inner = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    return np.searchsorted(inner, confidence_N, side="left")


def expected_calibration_error(columns_NS: Floats, weights_RN: Floats) -> Floats:
    """(R,) the mean distance of confidence and accuracy over 15 bins of equal width.

    Args:
        columns_NS: (N, S) confidence and correct.
        weights_RN: (R, N).

    Returns:
        In [0, 1].

    Source: Guo et al. 2017, arXiv:1706.04599, equation 3.
    """
    member_NB = (bins_of(columns_NS[:, 0], BINS)[:, None] == np.arange(BINS)).astype(np.float64)
    gap_NB = member_NB * (columns_NS[:, 1] - columns_NS[:, 0])[:, None]
    gaps: Floats = np.abs(weights_RN @ gap_NB).sum(1)
    error: Floats = gaps / weights_RN.sum(1)
    return error


def adaptive_calibration_error(columns_NS: Floats, weights_RN: Floats) -> Floats:
    """(R,) the same over 15 bins of about equally many answers; equal confidences share a bin.

    Args:
        columns_NS: (N, S) confidence and correct.
        weights_RN: (R, N).

    Returns:
        In [0, 1].

    Source: Nguyen & O'Connor 2015, arXiv:1508.05154.
    """
    groups = TieGroups.of(columns_NS[:, 0])
    own_RG = groups.sums(weights_RN)
    gap_RG = groups.sums(weights_RN * (columns_NS[:, 1] - columns_NS[:, 0]))
    twice_middle_RG = 2.0 * np.cumsum(own_RG, axis=1) - own_RG
    total = weights_RN.sum(1)
    place_RG = np.floor_divide(twice_middle_RG * BINS, 2.0 * total[:, None])
    gaps = [np.abs(np.where(place_RG == place, gap_RG, 0.0).sum(1)) for place in range(BINS)]
    found: Floats = np.sum(gaps, axis=0) / total
    return found


def brier(columns_NS: Floats, weights_RN: Floats) -> Floats:
    """(R,) mean squared distance of confidence and correct.

    Args:
        columns_NS: (N, S) confidence and correct.
        weights_RN: (R, N).

    Returns:
        In [0, 1].
    """
    found: Floats = weights_RN @ (columns_NS[:, 0] - columns_NS[:, 1]) ** 2 / weights_RN.sum(1)
    return found


# Counted too, because a row of zeros is a wrong answer of no confidence, and tells something.
_COLUMNS = ("confidence", "correct", COUNT)

CALIBRATION_METRICS = (
    Metric(
        "ece",
        "Calibration error",
        "lower",
        f"Mean distance of confidence and accuracy over {BINS} bins of equal width, by answers; "
        "few examples make it too large, and its interval with it.",
        _COLUMNS,
        expected_calibration_error,
        source="Guo et al. 2017, arXiv:1706.04599, equation 3",
        scale=SHARE,
    ),
    Metric(
        "adaptive_ece",
        "Calibration error, adaptive bins",
        "lower",
        f"The same over {BINS} bins of about equally many answers.",
        _COLUMNS,
        adaptive_calibration_error,
        source="Nguyen & O'Connor 2015, arXiv:1508.05154",
        scale=SHARE,
    ),
    Metric(
        "auroc_confidence",
        "Confidence tells right from wrong",
        "higher",
        "Probability that a right answer is surer than a wrong one, ties half; 0.5 is chance; not "
        "defined where all are right or all are wrong.",
        _COLUMNS,
        auroc,
        source="Hanley & McNeil 1982, Radiology 143(1); scikit-learn, roc_auc_score",
        scale=SHARE,
    ),
    Metric(
        "brier",
        "Brier score of the confidence",
        "lower",
        "Mean squared distance of confidence and correct, which is 0 or 1.",
        _COLUMNS,
        brier,
        source="Brier 1950, Monthly Weather Review 78(1); scikit-learn, brier_score_loss",
        scale=SHARE,
    ),
)
"""What is measured of a candidate that says how sure it is."""


def _where_asked(statistic: Statistic) -> Statistic:
    def of_asked(columns_NS: Floats, weights_RN: Floats) -> Floats:
        with np.errstate(invalid="ignore"):  # of nothing that is asked: not defined
            return statistic(columns_NS, weights_RN * columns_NS[:, 2])

    return of_asked


FIELD_CALIBRATION_METRICS = tuple(
    replace(
        metric,
        name=f"{metric.name}.{{field}}",
        title=f"{metric.title}, of {{field}}",
        definition=f"Of the field of label.class_field alone: {metric.definition[0].lower()}"
        f"{metric.definition[1:-1]}; the confidence is the probability of the class that was "
        "written, among all classes, and an answer that names none counts as sure and wrong.",
        needs=("confidence:{field}", "correct:{field}", "confidence_asked:{field}"),
        statistic=_where_asked(metric.statistic),
        counted="confidence_asked:{field}",
        scale=None,
    )
    for metric in CALIBRATION_METRICS
)
"""The same of the field that names the class."""
