"""A statistic that its own influence on each example makes linear, for what a bootstrap would bend.

A resample has each example about 0.63 times at least once, so a count of *different* things is
smaller in every resample than it is: a percentile interval would lie beside the number it is of.
What an example changes when it is left out tells how the number moves without that.

Legend: N examples, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stillhouse.evals.bootstrap import Statistic, Sums


def linear_values(
    value: float, without_each_N: NDArray[np.float64], weights_RN: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A statistic's values on resamples, to the first order.

    Args:
        value: on all examples.
        without_each_N: (N,) on all examples but one; what is not finite moves nothing.
        weights_RN: (R, N), how often each example was drawn, however many in all.

    Returns:
        (R,) `value` where every example was drawn once.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 20.5, with the
    influence of an example taken from the jackknife.
    """
    num_examples = len(without_each_N)
    moved = np.nan_to_num(value - without_each_N, nan=0.0, posinf=0.0, neginf=0.0)
    influence = (moved - moved.mean()) * (num_examples - 1) / num_examples
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = num_examples / weights_RN.sum(axis=1)
        values: NDArray[np.float64] = value + scale * (weights_RN @ influence)
    return values


def linear_of_sums(
    function: Callable[[Sums], NDArray[np.float64]],
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Statistic:
    """The statistic of columns' sums (R, S), made linear.

    Args:
        function: from sums (R, S) to values (R,).
        bounds: of the values, which a straight line may leave.

    Returns:
        As `of_sums`, for statistics that a resample bends, such as the entropy.
    """

    def statistic(
        columns_NS: NDArray[np.float64], weights_RN: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        every = columns_NS.sum(axis=0, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            value, without_each = function(every), function(every - columns_NS)
        values = linear_values(float(value[0]), without_each, weights_RN)
        within: NDArray[np.float64] = np.clip(values, *bounds)
        return within

    return statistic


def half_bent(
    function: Callable[[Sums], NDArray[np.float64]],
    bounds: tuple[float, float],
    correction: Callable[[Sums], NDArray[np.float64]] | None = None,
) -> Statistic:
    """The mean of a statistic made linear and of the resampled one.

    Near its least or greatest value a statistic bends, which a straight line does not know; and a
    resample bends it once more than the examples did. Half of each is near to both.

    Args:
        function: from sums (R, S) to values (R,).
        bounds: of the values.
        correction: what is added to them, from the sums; on resamples that of all examples.

    Returns:
        The statistic; on all examples it is function and correction.
    """

    def corrected(sums: Sums) -> NDArray[np.float64]:
        return function(sums) + correction(sums) if correction else function(sums)

    straight = linear_of_sums(corrected)

    def statistic(
        columns_NS: NDArray[np.float64], weights_RN: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        every = columns_NS.sum(axis=0, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            shift = corrected(every) - function(every)
            bent = function(weights_RN @ columns_NS) + shift
        values = (straight(columns_NS, weights_RN) + bent) / 2.0
        within: NDArray[np.float64] = np.clip(values, *bounds)
        return within

    return statistic
