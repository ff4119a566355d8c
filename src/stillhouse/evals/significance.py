"""P values of paired comparisons, and their correction where several are asked at once.

Legend: N examples, S columns, R swaps, M questions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from stillhouse.evals.bootstrap import Resampling, Statistic, blocks


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two forms of one test.

    Attributes:
        exact: never refuses equality more often than its level.
        mid_p: less cautious; at its level on average.
    """

    exact: float
    mid_p: float


def mcnemar(first: int, second: int) -> McNemar:
    """Whether two candidates are right equally often, by the examples where one alone is.

    Args:
        first: examples that the first alone has right.
        second: examples that the second alone has right.

    Returns:
        Two-sided p values; 1 where they never differ.

    Source: McNemar 1947, Psychometrika 12; Fagerland, Lydersen & Laake 2013, BMC Medical Research
    Methodology 13:91 (mid-p).
    """
    n = first + second
    if n == 0:
        return McNemar(1.0, 1.0)
    least = min(first, second)
    tail = float(special.bdtr(least, n, 0.5))
    at = math.exp(
        math.lgamma(n + 1) - math.lgamma(least + 1) - math.lgamma(n - least + 1) - n * math.log(2)
    )
    return McNemar(min(1.0, 2.0 * tail), min(1.0, 2.0 * tail - at))


def swap_test(
    first_NS: NDArray[np.float64],
    second_NS: NDArray[np.float64],
    statistic: Statistic,
    resampling: Resampling,
) -> float:
    """Whether it matters which candidate an example's scores came from.

    Args:
        first_NS: (N, S), one candidate's columns.
        second_NS: (N, S), the other's, of the same examples.
        statistic: from columns and weights to values.
        resampling: swaps R and seed.

    Returns:
        The two-sided p value: the share of swaps whose difference is as large as the one that was
        seen. Of all 2**N swaps where they are no more than R, else of R random ones beside the
        one that was seen; for a mean this is the sign-flip test.

    Source: Good 2005, Permutation, Parametric and Bootstrap Tests of Hypotheses, section 3.
    """
    num_examples = len(first_NS)
    both = np.concatenate([first_NS, second_NS])
    seen = abs(float(_differences(both, np.zeros((1, num_examples)), statistic)[0]))
    if not np.isfinite(seen):
        return float("nan")
    # Swaps that give the same difference in other order of sums count as equal.
    least = seen - 1e-9 * max(1.0, seen)
    is_whole = num_examples < 31 and 2**num_examples <= resampling.swaps
    num_swaps = 2**num_examples if is_whole else resampling.swaps
    generator = np.random.default_rng(resampling.seed)
    extreme, start = 0, 0
    for size in blocks(num_swaps, 4 * num_examples):
        if is_whole:
            numbers = np.arange(start, start + size)[:, None]
            swaps = (numbers >> np.arange(num_examples)) & 1
        else:
            swaps = generator.integers(0, 2, (size, num_examples))
        drawn = np.abs(_differences(both, swaps.astype(np.float64), statistic))
        extreme += int(np.count_nonzero(~(drawn < least)))
        start += size
    return extreme / num_swaps if is_whole else (extreme + 1) / (num_swaps + 1)


def _differences(
    both: NDArray[np.float64], swaps_RN: NDArray[np.float64], statistic: Statistic
) -> NDArray[np.float64]:
    kept = 1.0 - swaps_RN
    one = statistic(both, np.concatenate([kept, swaps_RN], axis=1))
    two = statistic(both, np.concatenate([swaps_RN, kept], axis=1))
    return one - two


def holm(p_values: Sequence[float]) -> list[float]:
    """P values that stay below a level by chance no more often than it says, all M together.

    Args:
        p_values: (M,) in [0, 1]; NaN was not asked and stays NaN.

    Returns:
        (M,) adjusted, in the same order.

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    given, order = _asked(p_values)
    m = len(order)
    factors = m - np.arange(m)
    return _put_back(given, order, np.maximum.accumulate(given[order] * factors))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """P values below which the share of false findings is no larger than the level.

    Args:
        p_values: (M,) in [0, 1]; NaN was not asked and stays NaN.

    Returns:
        (M,) adjusted, in the same order.

    Source: Benjamini & Hochberg 1995, Journal of the Royal Statistical Society B 57, 289-300.
    """
    given, order = _asked(p_values)
    m = len(order)
    scaled = given[order] * m / (np.arange(m) + 1)
    return _put_back(given, order, np.minimum.accumulate(scaled[::-1])[::-1])


def _asked(p_values: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    given = np.array(p_values, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    return given, order[~np.isnan(given[order])]


def _put_back(
    given: NDArray[np.float64], order: NDArray[np.intp], adjusted: NDArray[np.float64]
) -> list[float]:
    found = np.full(len(given), np.nan)
    found[order] = np.minimum(adjusted, 1.0)
    return [float(value) for value in found]
