"""Whether a judge judges as people do: kappa and rank correlation on what both have judged.

Legend: N examples, R resamples, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import InputError
from stillhouse.evals.bootstrap import Estimate, Resampling, bootstrap, of_sums
from stillhouse.evals.ranks import spearman
from stillhouse.evals.scores import Column

Weighting = Literal["none", "quadratic"]


def kappa(
    judge: Sequence[float],
    people: Sequence[float],
    resampling: Resampling,
    weighting: Weighting = "none",
) -> Estimate:
    """Cohen's kappa of a judge and people, with its interval.

    Args:
        judge: a label or score an example.
        people: of the same examples.
        resampling: how the interval is made.
        weighting: `none` for labels; `quadratic` for scores, where a near miss counts as such.

    Returns:
        1 where both always agree, 0 for chance; NaN where both always say the same one thing.

    Raises:
        InputError: not one of each an example, or fewer than two.

    Source: Cohen 1960, A coefficient of agreement for nominal scales; Cohen 1968 for the weights.
    """
    first, second = _both(judge, people)
    values = np.unique(np.concatenate([first, second]))
    # One column for each pair of a judge's and people's value, so that sums are the table.
    pairs = np.searchsorted(values, first) * len(values) + np.searchsorted(values, second)
    table_NCC = np.eye(len(values) ** 2)[pairs]
    apart = values[:, None] - values[None, :]
    costs_CC = apart**2 if weighting == "quadratic" else (apart != 0).astype(np.float64)
    return bootstrap(table_NCC, of_sums(_KappaOf(costs_CC)), resampling)


class _KappaOf:
    def __init__(self, costs_CC: NDArray[np.float64]) -> None:
        self._costs = costs_CC

    def __call__(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """(R,) one minus the cost of what was said over the cost of chance."""
        num_classes = len(self._costs)
        tables = sums.reshape(-1, num_classes, num_classes)
        totals = tables.sum(axis=(1, 2))
        chance = tables.sum(axis=2)[:, :, None] * tables.sum(axis=1)[:, None, :]
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = (chance * self._costs).sum(axis=(1, 2)) / totals
            found: NDArray[np.float64] = 1.0 - (tables * self._costs).sum(axis=(1, 2)) / expected
        return found


def rank_correlation(
    judge: Sequence[float], people: Sequence[float], resampling: Resampling
) -> Estimate:
    """Spearman's correlation of a judge's and people's scores, with its interval.

    Args:
        judge: a score an example.
        people: of the same examples.
        resampling: how the interval is made.

    Returns:
        In [-1, 1]; NaN where one of them always says the same.

    Raises:
        InputError: as for `kappa`.

    Source: Spearman 1904, equal scores sharing the mean of their ranks.
    """
    columns = np.stack(_both(judge, people), axis=1)
    return bootstrap(columns, spearman, resampling)


def _both(judge: Sequence[float], people: Sequence[float]) -> tuple[Column, Column]:
    if len(judge) != len(people) or len(judge) < 2:
        raise InputError(
            f"a judge's {len(judge)} judgements and people's {len(people)} cannot be compared",
            "give one of each an example, for at least two examples",
        )
    return np.asarray(judge, np.float64), np.asarray(people, np.float64)
