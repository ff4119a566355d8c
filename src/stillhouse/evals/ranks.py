"""Statistics of ranks under weights: a row with the weight 3 is three equal rows.

Legend: N examples, S columns, R resamples, G groups of equal values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TieGroups:
    """Rows in the order of their values, equal values together.

    Attributes:
        order_N: (N,) the rows, smallest value first.
        starts_G: (G,) where in that order a new value begins.
        group_N: (N,) the group of each row, as the rows stand.
    """

    order_N: NDArray[np.intp]
    starts_G: NDArray[np.intp]
    group_N: NDArray[np.intp]

    @classmethod
    def of(cls, values_N: Floats) -> TieGroups:
        """The groups of (N,) values, N >= 1."""
        _, group_N = np.unique(values_N, return_inverse=True)
        order_N = np.argsort(group_N, kind="stable")
        starts_G = np.flatnonzero(np.diff(group_N[order_N], prepend=-1))
        return cls(order_N, starts_G, group_N)

    def sums(self, values_RN: Floats) -> Floats:
        """(R, G) the values of each group together."""
        ordered_RN = values_RN[:, self.order_N]
        if len(self.starts_G) == len(self.order_N):  # no two rows share a value
            return ordered_RN
        summed: Floats = np.add.reduceat(ordered_RN, self.starts_G, axis=1)
        return summed

    def mid_ranks(self, weights_RN: Floats) -> Floats:
        """(R, G) the mean rank of each group's rows, 1 for the first; of weights (R, N)."""
        own_RG = self.sums(weights_RN)
        return np.cumsum(own_RG, axis=1) - own_RG + (own_RG + 1.0) / 2.0


def auroc(columns_NS: Floats, weights_RN: Floats) -> Floats:
    """(R,) the probability that a right row has the larger value than a wrong one, ties half.

    Args:
        columns_NS: (N, S) values, and 1 for right, 0 for wrong.
        weights_RN: (R, N).

    Returns:
        In [0, 1]; NaN where all are right or all are wrong.

    Source: Hanley & McNeil 1982, Radiology 143(1).
    """
    groups = TieGroups.of(columns_NS[:, 0])
    right_RG = groups.sums(weights_RN * columns_NS[:, 1])
    wrong_RG = groups.sums(weights_RN * (1.0 - columns_NS[:, 1]))
    below_RG = np.cumsum(wrong_RG, axis=1) - wrong_RG
    above = (right_RG * (below_RG + wrong_RG / 2.0)).sum(1)
    pairs = right_RG.sum(1) * wrong_RG.sum(1)
    found: Floats = np.divide(above, pairs, out=np.full_like(above, np.nan), where=pairs > 0)
    return found


def pearson(columns_NS: Floats, weights_RN: Floats) -> Floats:
    """(R,) the linear correlation of two columns.

    Args:
        columns_NS: (N, S), of which the first two count.
        weights_RN: (R, N).

    Returns:
        In [-1, 1]; NaN where one column has one value only.
    """
    shape = weights_RN.shape
    first_RN, second_RN = (np.broadcast_to(columns_NS[:, place], shape) for place in (0, 1))
    return _correlate(first_RN, second_RN, weights_RN)


def spearman(columns_NS: Floats, weights_RN: Floats) -> Floats:
    """(R,) the rank correlation of two columns, ties by mean rank.

    Args:
        columns_NS: (N, S), of which the first two count.
        weights_RN: (R, N).

    Returns:
        In [-1, 1]; NaN where one column has one value only.
    """
    ranks = []
    for place in (0, 1):
        groups = TieGroups.of(columns_NS[:, place])
        ranks.append(groups.mid_ranks(weights_RN)[:, groups.group_N])
    return _correlate(ranks[0], ranks[1], weights_RN)


_ROUNDING = 1e-12
"""assumption: a spread this far below the values is none."""


def _correlate(first_RN: Floats, second_RN: Floats, weights_RN: Floats) -> Floats:
    total = weights_RN.sum(1)
    apart, spreads, is_defined = [], [], np.ones(len(total), dtype=np.bool_)
    for values_RN in (first_RN, second_RN):
        mean = (weights_RN * values_RN).sum(1) / total
        apart_RN = values_RN - mean[:, None]
        spread = np.sqrt((weights_RN * apart_RN**2).sum(1) / total)
        size = np.abs(values_RN).max(axis=1)
        is_defined &= spread > _ROUNDING * size
        apart.append(apart_RN)
        spreads.append(spread)
    shared = (weights_RN * apart[0] * apart[1]).sum(1) / total
    found = np.divide(
        shared, spreads[0] * spreads[1], out=np.full_like(shared, np.nan), where=is_defined
    )
    clipped: Floats = np.clip(found, -1.0, 1.0)
    return clipped
