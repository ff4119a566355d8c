"""The one bootstrap: intervals of any statistic of columns, examples drawn with replacement.

Legend: N examples, S columns, R resamples, G groups left out one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Sums = NDArray[np.float64]
"""(R, S), each column summed with the weights of each resample."""

Statistic = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""From columns (N, S) and weights (R, N), whole numbers >= 0, to values (R,). A row of zeros tells
nothing: with it or without, the values are the same."""

_BLOCK_BYTES = 8 << 20
_MOST_GROUPS = 400
"""assumption: the skewness of 400 group means is known within 0.12, which moves a bound's tail
share of 0.025 by less than 0.001."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: on all examples.
        low: the interval's lower bound.
        high: the interval's upper bound.
        n: examples it rests on; of those that are all zeros nothing is told.
    """

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Resampling:
    """How intervals are made.

    Attributes:
        draws: resamples R.
        confidence: of the interval, in (0, 1).
        seed: equal seeds resample the same examples, so that two candidates are compared paired.
        swaps: of a permutation test, >= 1. Its p value is never below 1 / (swaps + 1), and a
            correction multiplies that by the number of questions.
    """

    draws: int = 2000
    confidence: float = 0.95
    seed: int = 0
    swaps: int = 10_000

    @property
    def tail(self) -> float:
        """What the interval leaves out at each end."""
        return (1.0 - self.confidence) / 2.0


def bootstrap(
    columns_NS: NDArray[np.float64],
    statistic: Statistic,
    resampling: Resampling,
) -> Estimate:
    """A statistic with the wider, at each end, of two bootstrap intervals.

    Args:
        columns_NS: (N, S), N >= 1; one row an example.
        statistic: from columns and weights to values (R,); all examples once are R = 1.
        resampling: draws, confidence and seed.

    Returns:
        The value on all examples, and its interval from R resamples with replacement of the
        examples that tell something. Paired by construction: one example's columns stay together.
        The percentile interval serves symmetric values with far outliers, the bias-corrected and
        accelerated one skewed values, and a sample does not tell which it is. A resample on which
        the statistic is not defined (0 / 0) may lie anywhere, so it counts as below every lower and
        above every upper bound. One example alone bounds nothing.

    Source: Efron 1987, JASA 82, 171-185 (BCa); Hesterberg 2015, arXiv:1411.5279: for both the
    normal quantile becomes that of Student's t, times sqrt(n / (n - 1)), as small samples need.
    """
    value = float(statistic(columns_NS, np.ones((1, len(columns_NS))))[0])
    # Where few of many rows tell something, a resample of all might hold none of them.
    telling_NS = columns_NS[np.any(columns_NS != 0.0, axis=1)]
    n = len(telling_NS)
    if n < 2:
        return Estimate(value, -np.inf, np.inf, n)
    drawn = _draw(telling_NS, statistic, resampling)
    bias, skew = _bias(drawn, value), _acceleration(telling_NS, statistic)
    reach = np.sqrt(n / (n - 1)) * special.stdtrit(n - 1, resampling.tail)
    share, corrected = float(special.ndtr(reach)), _adjusted(bias, skew, reach)
    low = _quantile(drawn, min(share, corrected), -np.inf)
    share, corrected = float(special.ndtr(-reach)), _adjusted(bias, skew, -reach)
    high = _quantile(drawn, max(share, corrected), np.inf)
    return Estimate(value, low, high, n)


def _draw(
    columns_NS: NDArray[np.float64], statistic: Statistic, resampling: Resampling
) -> NDArray[np.float64]:
    """(R,) the statistic on resamples."""
    num_examples = len(columns_NS)
    generator = np.random.default_rng(resampling.seed)
    values = []
    for size in blocks(resampling.draws, num_examples):
        # Counting drawn places gives multinomial weights, ten times as fast as drawing those.
        drawn = generator.integers(0, num_examples, (size, num_examples))
        drawn += num_examples * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * num_examples)
        weights = counts.reshape(size, num_examples).astype(np.float64)
        values.append(statistic(columns_NS, weights))
    return np.concatenate(values)


def blocks(num_rows: int, num_examples: int) -> Iterator[int]:
    """Sizes that sum to `num_rows`, each few enough that (size, N) weights fit the memory."""
    block = max(1, _BLOCK_BYTES // (8 * num_examples))
    for start in range(0, num_rows, block):
        yield min(block, num_rows - start)


def _bias(drawn: NDArray[np.float64], value: float) -> float:
    """How far the estimate lies from the median of the resamples, in standard normal units."""
    half = np.count_nonzero((drawn == value) | np.isnan(drawn))
    below = np.count_nonzero(drawn < value) + 0.5 * half
    edge = 0.5 / len(drawn)
    return float(special.ndtri(np.clip(below / len(drawn), edge, 1.0 - edge)))


def _acceleration(columns_NS: NDArray[np.float64], statistic: Statistic) -> float:
    """A sixth of the skewness of the influence of single examples, by the jackknife over groups."""
    num_examples = len(columns_NS)
    num_groups = min(num_examples, _MOST_GROUPS)
    group = np.arange(num_examples) % num_groups
    values = []
    start = 0
    for size in blocks(num_groups, num_examples):
        left_out = np.arange(start, start + size)
        weights = (group[None, :] != left_out[:, None]).astype(np.float64)
        values.append(statistic(columns_NS, weights))
        start += size
    without = np.concatenate(values)
    if not np.all(np.isfinite(without)):
        return 0.0
    influence = without.mean() - without
    spread = float(np.sum(influence**2)) ** 1.5
    return float(np.sum(influence**3)) / (6.0 * spread) if spread > 0.0 else 0.0


def _adjusted(bias: float, skew: float, z: float) -> float:
    """The share of resamples below a bound."""
    shifted = bias + z
    return float(special.ndtr(bias + shifted / max(1.0 - skew * shifted, 0.05)))


def _quantile(drawn: NDArray[np.float64], share: float, edge: float) -> float:
    # "inverted_cdf" takes a value that was drawn, so that infinite ones stay what they are.
    filled = np.nan_to_num(drawn, nan=edge, posinf=np.inf, neginf=-np.inf)
    return float(np.quantile(filled, share, method="inverted_cdf"))


def of_sums(function: Callable[[Sums], NDArray[np.float64]]) -> Statistic:
    """The statistic that sees the columns' weighted sums (R, S) alone."""

    def statistic(
        columns_NS: NDArray[np.float64], weights_RN: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return function(weights_RN @ columns_NS)

    return statistic


def ratio(sums: Sums) -> NDArray[np.float64]:
    """(R,) first column's sum over the second's; infinite for x / 0, NaN for 0 / 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        divided: NDArray[np.float64] = sums[:, 0] / sums[:, 1]
    return divided
