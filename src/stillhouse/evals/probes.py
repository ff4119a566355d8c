"""Accuracy on probes by category: a mean would hide what is not understood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from stillhouse.evals.metric import Metric
from stillhouse.evals.scores import Column, Scores

_RIGHT, _ASKED = "probe_right:", "probe:"


def probe_columns(results: Sequence[Mapping[str, bool]]) -> dict[str, Column]:
    """The columns of a set of probes.

    Args:
        results: of each probe, whether it is right, by each category that it is of.

    Returns:
        For each category whether a probe is of it, and whether it is right there.
    """
    columns: dict[str, Column] = {}
    for name in dict.fromkeys(name for result in results for name in result):
        columns[_ASKED + name] = np.array([float(name in result) for result in results])
        columns[_RIGHT + name] = np.array([float(result.get(name, False)) for result in results])
    return columns


def probe_metrics(scores: Scores) -> Iterator[Metric]:
    """One metric for each category that the scores have columns for."""
    for column in scores.columns:
        name = column.removeprefix(_ASKED)
        if name != column:
            yield Metric(
                f"probe.{name}",
                f"Probes: {name.replace('_', ' ')}",
                "higher",
                f"Share of the probes of {name.replace('_', ' ')} that are answered as expected.",
                (_RIGHT + name, _ASKED + name),
                counted=_ASKED + name,
                is_fraction=True,
            )
