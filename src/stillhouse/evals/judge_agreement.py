"""Whether a judge judges as people do: kappa and rank correlation on what both have judged.

Legend: N examples, R resamples, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import InputError
from stillhouse.evals.bootstrap import Estimate, Resampling, bootstrap
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
    values, places = np.unique(np.stack(_both(judge, people), axis=1), return_inverse=True)
    apart = values[:, None] - values[None, :]
    costs_CC = apart**2 if weighting == "quadratic" else (apart != 0).astype(np.float64)
    # From 1 on, because a row of zeros tells nothing.
    codes_N2 = places.reshape(-1, 2).astype(np.float64) + 1.0
    return bootstrap(codes_N2, _KappaOf(costs_CC), resampling)


class _KappaOf:
    """Never as the table of all pairs of values: of scores to 100 that is 10,000 columns."""

    def __init__(self, costs_CC: NDArray[np.float64]) -> None:
        self._costs = costs_CC

    def __call__(
        self, codes_N2: NDArray[np.float64], weights_RN: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(R,) one minus the cost of what was said over the cost of chance."""
        places = codes_N2.astype(np.intp) - 1
        judged_RC, known_RC = (
            weights_RN @ np.eye(len(self._costs))[places[:, side]] for side in (0, 1)
        )
        said = weights_RN @ self._costs[places[:, 0], places[:, 1]]
        with np.errstate(divide="ignore", invalid="ignore"):
            chance = (judged_RC @ self._costs * known_RC).sum(axis=1) / weights_RN.sum(axis=1)
            found: NDArray[np.float64] = 1.0 - said / chance
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
