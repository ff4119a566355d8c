"""Scores of one candidate, one row an example; every metric is a statistic of its columns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillhouse.core.files import disk_full_is_clear

Column = NDArray[np.float64]

COUNT = "count"
"""The column that every table has without storing it: 1 an example."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What was measured on each holdout example, in one order for every candidate of a run.

    Attributes:
        example_ids: (N,) names.
        columns: name to (N,) float64; `nll` and `kl` are sums over `tokens`, in nats; the rest
            are counts or 0 and 1.
    """

    example_ids: tuple[str, ...]
    columns: dict[str, Column]

    def __len__(self) -> int:
        return len(self.example_ids)

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return name == COUNT or name in self.columns

    def select(self, chosen: NDArray[np.bool_]) -> Scores:
        """The scores of some of the examples, in the same order.

        Args:
            chosen: (N,) true for each that stays.

        Returns:
            All columns of those examples.
        """
        kept = np.flatnonzero(chosen)
        ids = tuple(self.example_ids[index] for index in kept)
        return Scores(ids, {name: values[kept] for name, values in self.columns.items()})

    def column(self, name: str) -> Column:
        """(N,) the column of that name."""
        return np.ones(len(self)) if name == COUNT else self.columns[name]


def write_scores(path: Path, scores: Scores) -> None:
    """Write scores as Parquet, one column a score."""
    arrays: dict[str, pa.Array[Any]] = {"example_id": pa.array(scores.example_ids, pa.string())}
    arrays |= {name: pa.array(values, pa.float64()) for name, values in scores.columns.items()}
    with disk_full_is_clear(path.parent):
        pq.write_table(pa.table(arrays), path)


def read_scores(path: Path) -> Scores:
    """The scores written by `write_scores`."""
    # Not read_table, which imports pandas where that is installed: a second for nothing.
    with pq.ParquetFile(path) as file:
        table = file.read()
    ids = [str(name) for name in table["example_id"].to_pylist()]
    columns = {
        name: table[name].to_numpy().astype(np.float64)
        for name in table.column_names
        if name != "example_id"
    }
    return Scores(tuple(ids), columns)
