"""How fast and how large a candidate is: metrics of single requests that were timed, and of sizes.

Requests were timed for some of the examples; the column `timed` says for which.

Legend: N examples, R resamples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stillhouse.evals.bootstrap import Statistic, Sums, of_sums
from stillhouse.evals.metric import Metric
from stillhouse.evals.scores import COUNT

Floats = NDArray[np.float64]

TIMED = "timed"
_LATENCY = ("latency_s", TIMED)


def percentile(share: float) -> Statistic:
    """The percentile of a column among the rows where a second one is above 0, interpolated.

    Args:
        share: in [0, 1]; 0.5 is the median.

    Returns:
        From columns (N, 2) and weights (R, N) to values (R,): as numpy's `percentile` of the rows
        written out, between whose ranks it is linear; NaN where none is counted.

    Source: Hyndman & Fan 1996, The American Statistician 50(4), definition 7.
    """

    def statistic(columns_N2: Floats, weights_RN: Floats) -> Floats:
        order = np.argsort(columns_N2[:, 0], kind="stable")
        values_N = columns_N2[order, 0]
        upto_RN = np.cumsum((weights_RN * (columns_N2[:, 1] > 0))[:, order], axis=1)
        total_R = upto_RN[:, -1]
        place_R = (total_R - 1.0) * share
        low_R = np.floor(place_R)

        def at(rank_R: Floats) -> Floats:
            index_R = (upto_RN <= rank_R[:, None]).sum(axis=1)
            found: Floats = values_N[np.minimum(index_R, len(values_N) - 1)]
            return found

        first_R, second_R = at(low_R), at(np.minimum(low_R + 1.0, total_R - 1.0))
        between_R = first_R + (place_R - low_R) * (second_R - first_R)
        return np.where(total_R > 0, between_R, np.nan)

    return statistic


def per_minute(sums: Sums) -> Floats:
    """(R,) 60 times the second column's sum over the first's; infinite for x / 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rate: Floats = 60.0 * sums[:, 1] / sums[:, 0]
    return rate


SPEED_METRICS = (
    Metric(
        "latency_mean_s",
        "Latency",
        "lower",
        "Mean time of a single request on this machine, from prompt to last token, after warm-up.",
        _LATENCY,
        counted=TIMED,
        unit="seconds",
    ),
    Metric(
        "latency_p50_s",
        "Latency, median",
        "lower",
        "Half of the single requests on this machine take at most so long.",
        _LATENCY,
        percentile(0.5),
        counted=TIMED,
        unit="seconds",
        source="Hyndman & Fan 1996, definition 7; numpy, percentile",
    ),
    Metric(
        "latency_p95_s",
        "Latency, 95th percentile",
        "lower",
        "Of 100 single requests on this machine, 95 take at most so long.",
        _LATENCY,
        percentile(0.95),
        counted=TIMED,
        unit="seconds",
        source="Hyndman & Fan 1996, definition 7; numpy, percentile",
    ),
    Metric(
        "throughput_per_minute",
        "Answers a minute",
        "higher",
        "Answers a minute on this machine, asked side by side in the recipe's batches.",
        ("batch_s", TIMED),
        of_sums(per_minute),
        counted=TIMED,
        unit="answers a minute",
    ),
    Metric(
        "load_s",
        "Time to load",
        "lower",
        "Time on this machine from opening the weights to the first answer; starting Python and "
        "importing libraries is not in it.",
        ("load_s", COUNT),
        unit="seconds",
    ),
    Metric(
        "peak_memory_bytes",
        "Peak memory",
        "lower",
        "Most memory while it answered: of the GPU's allocator, or of the process with its "
        "libraries.",
        ("peak_memory_bytes", COUNT),
        unit="bytes",
    ),
)
"""What is measured of a candidate that was timed."""

SIZE_METRICS = (
    Metric(
        "size_bytes",
        "Size on disk",
        "lower",
        "Bytes of its weights' files, an adapter's base among them.",
        ("size_bytes", COUNT),
        unit="bytes",
    ),
    Metric(
        "bundle_bytes",
        "Size of the bundle",
        "lower",
        "Bytes of all files that ship together, every form and an adapter's base among them.",
        ("bundle_bytes", COUNT),
        unit="bytes",
    ),
    Metric(
        "num_parameters",
        "Parameters",
        "lower",
        "Its parameters, shared ones counted once.",
        ("num_parameters", COUNT),
        unit="parameters",
    ),
)
"""Exact numbers, the same for every example, so that their intervals have no width."""
