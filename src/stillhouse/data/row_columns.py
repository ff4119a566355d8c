"""What shards say without their rows being read: how many there are, one column of text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from stillhouse.data.shards import shard_paths
from stillhouse.data.storage import torn_is_clear


def count_rows(folder: Path) -> int:
    """The rows of all shards, by what stands at the end of each file."""
    return sum(_count(path) for path in shard_paths(folder))


def _count(path: Path) -> int:
    with torn_is_clear(path):
        return int(pq.read_metadata(path).num_rows)


def iterate_column(folder: Path, name: str) -> Iterator[str]:
    """One column of texts of the rows, or ended rows, of every shard.

    Args:
        folder: of shards.
        name: of the column.

    Yields:
        Its values in the order of the rows.

    Raises:
        ArtifactError: a shard is missing or torn.
    """
    for path in shard_paths(folder):
        with torn_is_clear(path), pq.ParquetFile(path) as file:
            yield from map(str, file.read(columns=[name])[name].to_pylist())
