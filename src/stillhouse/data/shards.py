"""Rows on disk in shards: which shard a row lies in follows from its id and the number of rows.

So the work can be given to any number of processes, and what comes out is the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from stillhouse.core.rows import Row
from stillhouse.data.storage import read_rows_file, write_rows

COLLECTED = "rows.parquet"
"""The one file of rows as they were collected."""

SHARD_ROWS = 8192
"""assumption: a shard of short rows is some megabytes, worked on in about a second, and lost whole
when a process is killed."""


def num_shards(num_rows: int) -> int:
    """Shards of so many rows; a power of two, so that a few more rows rarely change it."""
    wanted = max(1, -(-num_rows // SHARD_ROWS))
    return 1 << (wanted - 1).bit_length()


def shard_of(row_id: str, shards: int) -> int:
    """The shard of a row, from the first digits of its id, which is a digest."""
    return int(row_id[:8], 16) % shards


def shard_path(folder: Path, shard: int) -> Path:
    """Where a shard lies."""
    return folder / f"rows-{shard:05}.parquet"


def write_shards(folder: Path, rows: Iterable[Row], num_rows: int) -> int:
    """Deal rows out to shards.

    Args:
        folder: for the shards.
        rows: in any order; a shard keeps it.
        num_rows: how many there are.

    Returns:
        The number of shards.
    """
    shards = num_shards(num_rows)
    dealt: list[list[Row]] = [[] for _ in range(shards)]
    for row in rows:
        dealt[shard_of(row.row_id, shards)].append(row)
    for shard, part in enumerate(dealt):
        write_rows(shard_path(folder, shard), part)
    return shards


def read_rows_of(folder: Path) -> list[Row]:
    """The rows of a folder, which `collect` wrote in one file and a step in shards."""
    whole = folder / COLLECTED
    return read_rows_file(whole) if whole.is_file() else list(read_shards(folder))


def read_shards(folder: Path) -> Iterator[Row]:
    """The rows of every shard, shard by shard."""
    for path in shard_paths(folder):
        yield from read_rows_file(path)


def shard_paths(folder: Path) -> Sequence[Path]:
    """The shards of a folder, in order."""
    return sorted(folder.glob("rows-*.parquet"))
