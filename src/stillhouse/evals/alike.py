"""What is measured of one model's answers to the same: repeats, batches, paraphrases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stillhouse.evals.metric import SHARE, Metric
from stillhouse.evals.scores import Column

REPEATED, BATCHED = "repeated", "batched"
"""Columns that count the examples that were asked again, and alone beside a batch."""


def largest(columns_NS: NDArray[np.float64], weights_RN: NDArray[np.float64]) -> Column:
    """(R,) the largest value of a column among the rows that the weights draw.

    Args:
        columns_NS: (N, S), of which the first counts.
        weights_RN: (R, N), some above 0 in each row.

    Returns:
        Values of the column.
    """
    found: Column = np.where(weights_RN > 0, columns_NS[:, 0], -np.inf).max(axis=1)
    return found


CONSISTENCY_METRICS = (
    Metric(
        "repeat_equality",
        "Repeats are equal",
        "higher",
        "Share of examples that get the same text each time they are asked.",
        ("repeats_equal", REPEATED),
        counted=REPEATED,
        is_fraction=True,
    ),
    Metric(
        "batch_equality",
        "Batch equals one by one",
        "higher",
        "Share of examples that get the same text alone and in a batch.",
        ("batch_equal", BATCHED),
        counted=BATCHED,
        is_fraction=True,
    ),
    Metric(
        "paraphrase_consistency",
        "Paraphrases get equal answers",
        "higher",
        "Share of groups of paraphrases whose answers are all equal.",
        ("group_equal", "group"),
        counted="group",
        is_fraction=True,
    ),
    Metric(
        "paraphrase_pairs",
        "Pairs of paraphrases get equal answers",
        "higher",
        "Share of pairs within groups of paraphrases whose answers are equal.",
        ("group_pairs_equal", "group_pairs"),
        counted="group_pairs",
        scale=SHARE,
    ),
)
"""What is measured of whole answers."""

FIELD_CONSISTENCY_METRICS = (
    Metric(
        "repeat_range.{field}",
        "Spread of {field} over repeats",
        "lower",
        "Mean over examples of the largest minus the smallest answer, as a share of the scale; an "
        "unreadable answer counts as the whole scale.",
        ("range:{field}", REPEATED),
        counted=REPEATED,
        scale=SHARE,
    ),
    Metric(
        "flip_rate.{field}",
        "Flips of {field} over repeats",
        "lower",
        "Share of examples that do not get the same {field} each time they are asked; an "
        "unreadable answer is a flip.",
        ("flip:{field}", REPEATED),
        counted=REPEATED,
        is_fraction=True,
    ),
    Metric(
        "batch_difference.{field}",
        "Largest difference of {field} in a batch",
        "lower",
        "Of the examples that were asked both ways, the largest distance of both answers; the "
        "whole scale where either is unreadable. It tells of these examples alone, interval too.",
        ("batch_difference:{field}", BATCHED),
        largest,
        unit="points",
    ),
)
"""What is measured of every declared field."""
