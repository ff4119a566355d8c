"""A metric of one candidate with an interval that is honest at every sample size."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stillhouse.evals.bootstrap import Estimate, Resampling, bootstrap
from stillhouse.evals.metric import Metric
from stillhouse.evals.proportions import exact_interval
from stillhouse.evals.scores import Scores


def estimate_metric(metric: Metric, scores: Scores, resampling: Resampling) -> Estimate:
    """A metric of one candidate with its interval.

    Args:
        metric: what is estimated.
        scores: of the candidate.
        resampling: how the interval is made.

    Returns:
        Exact for a fraction of units that come one an example; else from the bootstrap, cut to the
        metric's scale. Its `n` counts what the metric counts. Nothing counted gives NaN.
    """
    columns = metric.columns(scores)
    if counts_units(metric, columns):
        right, n = float(columns[:, 0].sum()), round(float(columns[:, 1].sum()))
        if n == 0:
            return Estimate(math.nan, 0.0, 1.0, 0)
        return Estimate(right / n, *exact_interval(right, n, resampling.confidence), n)
    found = bootstrap(columns, metric.statistic, resampling)
    if metric.bounds:
        found = widen(found, metric.bounds, resampling)
    return replace(clip(found, metric.possible or metric.reach), n=metric.num_counted(scores))


def clip(estimate: Estimate, reach: tuple[float, float]) -> Estimate:
    """An interval without what no value can be.

    Args:
        estimate: of any interval; resamples that define nothing make it infinite.
        reach: the least and the greatest value there is.

    Returns:
        Never so narrow that rounding leaves the value outside.
    """
    least, greatest = reach
    return replace(
        estimate,
        low=max(estimate.low, min(least, estimate.value)),
        high=min(estimate.high, max(greatest, estimate.value)),
    )


def counts_units(metric: Metric, columns_NS: NDArray[np.float64]) -> bool:
    """Whether a metric is a fraction of units of which each example has one or none.

    Args:
        metric: what is estimated.
        columns_NS: (N, S) of the metric.

    Returns:
        False also for several units an example: those hang together, and are resampled so.
    """
    if not metric.is_fraction:
        return False
    right, units = columns_NS[:, 0], columns_NS[:, 1]
    return bool(np.all(np.isin(columns_NS[:, :2], (0.0, 1.0))) and np.all(right <= units))


def widen(estimate: Estimate, bounds: tuple[float, float], resampling: Resampling) -> Estimate:
    """An interval of a bounded number where every resample agreed, so that it had no width.

    Args:
        estimate: from the bootstrap.
        bounds: the least and the greatest value that one example could give.
        resampling: how the interval was made.

    Returns:
        Wide enough for the share of unlike examples that may exist though none was drawn:
        `1 - tail ** (1 / n)`, all at either bound. Any other estimate as it is.

    Source: Clopper & Pearson 1934, Biometrika 26(4), the exact interval at its ends.
    """
    is_alone = math.isinf(estimate.low) and math.isinf(estimate.high) and estimate.n < 2
    if not math.isfinite(estimate.value) or not (is_alone or estimate.low == estimate.high):
        return estimate
    unlike = 1.0 - resampling.tail ** (1.0 / max(estimate.n, 1))
    low, high = bounds
    return replace(
        estimate,
        low=estimate.value - unlike * (estimate.value - low),
        high=estimate.value + unlike * (high - estimate.value),
    )
