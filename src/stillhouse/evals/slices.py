"""Parts of the holdout, by what is told of its examples: a column of 0 and 1 for each part.

An example may lie in several parts of one kind, such as two genres, or in none.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stillhouse.core.errors import InputError
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.estimates import estimate_metric
from stillhouse.evals.metrics import metrics_of
from stillhouse.evals.scores import Column, Scores
from stillhouse.evals.summary import SliceSummary

MOST_NAMES = 24
"""assumption: more parts of one kind are no longer read; the rarest of them become `others`."""

OTHERS, NONE = "others", "none"
_PREFIX = "slice:"
_BINS = 4


@dataclass(frozen=True, slots=True)
class Slice:
    """One part of the holdout.

    Attributes:
        kind: what it was cut by.
        name: of this part.
    """

    kind: str
    name: str

    @property
    def column(self) -> str:
        """The score column that says who lies in it."""
        return f"{_PREFIX}{self.kind}={self.name}"


def slice_columns(kind: str, names: Sequence[Sequence[str]]) -> dict[str, Column]:
    """The columns of one kind.

    Args:
        kind: what the holdout is cut by.
        names: of the parts in which each example lies; none of them means `none`.

    Returns:
        (N,) 0 or 1 for each part, the largest part first; what is rare comes last and together, as
        `others`, or `rare others` where a part is called so.
    """
    lists = [list(dict.fromkeys(own)) or [NONE] for own in names]
    sizes = Counter(name for own in lists for name in own)
    common = [name for name, _ in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))]
    kept = common if len(common) <= MOST_NAMES else common[: MOST_NAMES - 1]
    found = {
        Slice(kind, name).column: np.array([float(name in own) for own in lists]) for name in kept
    }
    if len(kept) < len(common):
        shown = set(kept)
        rare = [float(any(name not in shown for name in own)) for own in lists]
        rest = OTHERS
        while rest in sizes:
            rest = f"rare {rest}"
        found[Slice(kind, rest).column] = np.array(rare)
    return found


def by_size(values: Sequence[float], unit: str = "") -> list[list[str]]:
    """The name of the part of each value, about as many in each of four.

    Args:
        values: of each example.
        unit: named behind the edges.

    Returns:
        Such as `up to 120 characters`, `over 120 to 300 characters`; equal values lie in one part.
    """
    quartiles = np.arange(1, _BINS) / _BINS
    edges = np.unique(np.quantile(values, quartiles, method="inverted_cdf")).tolist()
    if edges and edges[-1] == max(values):
        edges.pop()
    place = np.searchsorted(edges, values, side="left")
    behind = f" {unit}" if unit else ""
    texts = [
        f"up to {edge:g}{behind}"
        if number == 0
        else f"over {edges[number - 1]:g} to {edge:g}{behind}"
        for number, edge in enumerate(edges)
    ]
    texts.append(f"over {edges[-1]:g}{behind}" if edges else f"{values[0]:g}{behind}")
    return [[texts[index]] for index in place]


def slices_of(scores: Scores) -> list[Slice]:
    """The parts that scores have columns for."""
    names = [name.removeprefix(_PREFIX) for name in scores.columns if name.startswith(_PREFIX)]
    return [Slice(*name.split("=", 1)) for name in names]


def slice_names(scores: Scores, kind: str) -> list[str]:
    """The parts of one kind that scores have columns for, in their order.

    Args:
        scores: of a candidate.
        kind: what the holdout was cut by.

    Returns:
        At least one.

    Raises:
        InputError: it was not cut by that.
    """
    parts = slices_of(scores)
    found = [part.name for part in parts if part.kind == kind]
    if found:
        return found
    kinds = dict.fromkeys(part.kind for part in parts)
    raise InputError(
        f"the holdout was not cut by {kind!r}",
        f"it was cut by: {', '.join(kinds)}" if kinds else f"add {kind} to evaluate.slices",
    )


def on_slice(scores: Scores, part: Slice) -> Scores:
    """The scores of the examples that lie in a part; every column but those of parts.

    Args:
        scores: of a candidate.
        part: of the holdout.

    Returns:
        Its examples.

    Raises:
        InputError: there is no such part.
    """
    if not scores.has(part.column):
        names = slice_names(scores, part.kind)
        raise InputError(
            f"the holdout has no part {part.name!r} by {part.kind}",
            f"its parts: {', '.join(names)}",
        )
    own = scores.select(scores.column(part.column) > 0)
    columns = {name: own.columns[name] for name in own.columns if not name.startswith(_PREFIX)}
    return Scores(own.example_ids, columns)


def summarise_slices(
    scores: Scores, metrics: Iterable[str], resampling: Resampling
) -> Iterator[SliceSummary]:
    """Metrics on each part, with how many units each rests on.

    Args:
        scores: with columns of parts.
        metrics: their names; those that the scores have no columns for are left out.
        resampling: how the intervals are made.

    Yields:
        One record a part and metric; without values where it is not defined on that part.
    """
    wanted = set(metrics)
    for part in slices_of(scores):
        own = on_slice(scores, part)
        for metric in metrics_of(own):
            if metric.name not in wanted or not len(own):
                continue
            found = estimate_metric(metric, own, resampling)
            known = all(map(math.isfinite, (found.value, found.low, found.high)))
            values = (found.value, found.low, found.high) if known else (None, None, None)
            yield SliceSummary(
                kind=part.kind,
                name=part.name,
                metric=metric.name,
                n=found.n,
                value=values[0],
                low=values[1],
                high=values[2],
            )
