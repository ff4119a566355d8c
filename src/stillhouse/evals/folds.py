"""A metric over the folds of a cross-validation: one table of scores a fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stillhouse.core.errors import InputError
from stillhouse.evals.metrics import metric_by_name
from stillhouse.evals.scores import Scores


@dataclass(frozen=True, slots=True)
class FoldSummary:
    """A metric over folds.

    Attributes:
        metric: its name.
        values: (K,) on each fold alone.
        mean: over folds, each counting once.
        deviation: the standard deviation over folds, with K - 1 below.
        n: examples of all folds.
    """

    metric: str
    values: tuple[float, ...]
    mean: float
    deviation: float
    n: int


def summarise_folds(metric_name: str, folds: Sequence[Scores]) -> FoldSummary:
    """A metric's mean and standard deviation over folds.

    Args:
        metric_name: what is measured.
        folds: the scores of each fold's own held-out examples, K >= 2.

    Returns:
        The summary. Its deviation tells how far trainings differ; it is no standard error of the
        mean, because the folds' trainings share most of their rows.

    Raises:
        InputError: fewer than two folds, a fold without examples, or an example in two folds.

    Source: Bengio & Grandvalet 2004, JMLR 5, 1089-1105 (no unbiased standard error exists).
    """
    if len(folds) < 2:
        raise InputError(f"{len(folds)} fold cannot be averaged", "give at least two")
    seen: dict[str, int] = {}
    for number, fold in enumerate(folds, start=1):
        if not len(fold):
            raise InputError(f"fold {number} holds no examples")
        for example_id in fold.example_ids:
            other = seen.setdefault(example_id, number)
            if other != number:
                raise InputError(
                    f"example {example_id} is in folds {other} and {number}",
                    "each example is held out once",
                )
    values = []
    for fold in folds:
        metric = metric_by_name(metric_name, fold)
        values.append(float(metric.statistic(metric.columns(fold), np.ones((1, len(fold))))[0]))
    return FoldSummary(
        metric=metric_name,
        values=tuple(values),
        mean=float(np.mean(values)),
        deviation=float(np.std(values, ddof=1)),
        n=len(seen),
    )
