"""The metrics: each a ratio of two sums of score columns, with a direction and a unit."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import InputError
from stillhouse.evals.scores import Column, Scores


def _unchanged(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a candidate.

    Attributes:
        name: as rules call it.
        title: as people read it.
        better: which direction is good.
        unit: of the value; empty for a fraction.
        above: the score column that is summed.
        below: the score column it is divided by; `count` is 1 an example.
        shape: applied to the ratio.
    """

    name: str
    title: str
    better: Literal["lower", "higher"]
    unit: str
    above: str
    below: str
    shape: Callable[[NDArray[np.float64]], NDArray[np.float64]] = _unchanged

    @property
    def is_fraction(self) -> bool:
        """Whether an example counts 0 or 1."""
        return self.below in ("count", "fields_asked")

    def columns(self, scores: Scores) -> tuple[Column, Column]:
        """(N,) numerator and (N,) denominator."""
        below = np.ones(len(scores)) if self.below == "count" else scores.columns[self.below]
        return scores.columns[self.above], below


_FIXED = (
    Metric("exact_match", "Exact match", "higher", "", "exact", "count"),
    Metric("field_accuracy", "Field accuracy", "higher", "", "fields_right", "fields"),
    Metric("kl_to_teacher", "KL to the teacher", "lower", "nats per token", "kl", "tokens"),
    Metric("cross_entropy", "Cross-entropy", "lower", "nats per token", "nll", "tokens"),
    Metric("agreement", "Same answer as the teacher", "higher", "", "agreement", "count"),
    Metric("top1_agreement", "Most likely token as the teacher's", "higher", "", "top1", "tokens"),
    Metric("valid_json", "Valid JSON", "higher", "", "valid_json", "count"),
    Metric("perplexity", "Perplexity", "lower", "", "nll", "tokens", np.exp),
)
"""The metrics in the order in which people read them."""

_FIELD = "field:"


def metrics_of(scores: Scores) -> list[Metric]:
    """The metrics that these scores have columns for, in a fixed order."""
    return [metric for metric in _FIXED if metric.above in scores.columns] + [
        _field_metric(name.removeprefix(_FIELD))
        for name in scores.columns
        if name.startswith(_FIELD)
    ]


def in_reading_order(names: Iterable[str]) -> list[str]:
    """Metric names as people read them, what counts most first; single fields last."""
    places = {metric.name: place for place, metric in enumerate(_FIXED)}
    return sorted(dict.fromkeys(names), key=lambda name: (places.get(name, len(places)), name))


def _field_metric(field: str) -> Metric:
    name = f"field_accuracy.{field}"
    return Metric(name, f"Field {field}", "higher", "", f"{_FIELD}{field}", "fields_asked")


def metric_by_name(name: str, scores: Scores) -> Metric:
    """The metric of that name.

    Args:
        name: as rules call it.
        scores: whose columns it needs.

    Returns:
        The metric.

    Raises:
        InputError: no such metric for these scores; names the nearest.
    """
    known = {metric.name: metric for metric in metrics_of(scores)}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    guess = f'did you mean "{near[0]}"? ' if near else ""
    raise InputError(f"no metric {name!r} was measured", f"{guess}measured: {', '.join(known)}")
