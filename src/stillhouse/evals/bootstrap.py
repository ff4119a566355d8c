"""The one bootstrap: intervals of any statistic of columns, examples drawn with replacement.

Legend: N examples, S columns, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Sums = NDArray[np.float64]
"""(R, S), each column summed with the weights of each resample."""

Statistic = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""From columns (N, S) and weights (R, N), whole numbers >= 0, to values (R,)."""

_BLOCK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: on all examples.
        low: the interval's lower bound.
        high: the interval's upper bound.
        n: examples it rests on.
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
    """

    draws: int = 2000
    confidence: float = 0.95
    seed: int = 0


def bootstrap(
    columns_NS: NDArray[np.float64],
    statistic: Statistic,
    resampling: Resampling,
) -> Estimate:
    """A statistic of the columns' sums with its percentile interval.

    Args:
        columns_NS: (N, S), N >= 1; one row an example.
        statistic: from columns and weights to values (R,); all examples once are R = 1.
        resampling: draws, confidence and seed.

    Returns:
        The value on all examples, and the percentile interval over R resamples of N examples
        drawn with replacement. Paired by construction: one example's columns stay together.
        A resample on which the statistic is not defined (0 / 0) may lie anywhere, so it counts
        as below every lower and above every upper bound.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 13.3.
    """
    num_examples = len(columns_NS)
    generator = np.random.default_rng(resampling.seed)
    shares = np.full(num_examples, 1.0 / num_examples)
    block = max(1, _BLOCK_BYTES // (8 * num_examples))
    values = []
    for start in range(0, resampling.draws, block):
        size = min(block, resampling.draws - start)
        weights = generator.multinomial(num_examples, shares, size=size).astype(np.float64)
        values.append(statistic(columns_NS, weights))
    tail = (1.0 - resampling.confidence) / 2.0
    drawn = np.concatenate(values)
    value = float(statistic(columns_NS, np.ones((1, num_examples)))[0])
    # "inverted_cdf" takes a value that was drawn, so that infinite ones stay what they are.
    low, high = (
        float(
            np.quantile(
                np.nan_to_num(drawn, nan=edge, posinf=np.inf, neginf=-np.inf),
                share,
                method="inverted_cdf",
            )
        )
        for edge, share in ((-np.inf, tail), (np.inf, 1.0 - tail))
    )
    return Estimate(value, low, high, num_examples)


def widen_fraction(estimate: Estimate, confidence: float) -> Estimate:
    """A fraction's interval where every example agreed and the bootstrap has no width.

    Args:
        estimate: of a mean of zeros and ones.
        confidence: of the interval.

    Returns:
        With n successes of n the lower bound is `((1 - confidence) / 2) ** (1 / n)`, with none the
        upper bound is 1 minus that; every other estimate as it is.

    Source: Clopper & Pearson 1934, Biometrika 26(4), the exact interval at its ends.
    """
    bound = ((1.0 - confidence) / 2.0) ** (1.0 / estimate.n)
    if estimate.low == estimate.high == 1.0:
        return replace(estimate, low=bound)
    if estimate.low == estimate.high == 0.0:
        return replace(estimate, high=1.0 - bound)
    return estimate


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
