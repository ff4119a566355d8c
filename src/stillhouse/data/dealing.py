"""One file of rows dealt out to shards, some rows at a time in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillhouse.core.files import disk_full_is_clear, sync_tree
from stillhouse.data.shards import num_shards, shard_of, shard_path
from stillhouse.data.storage import torn_is_clear

_READ_ROWS = 8192
_HELD_BYTES = 128 * 2**20
"""assumption: so much is no burden, and gives each of a hundred shards a megabyte at once."""


def deal(source: Path, folder: Path) -> int:
    """Write every row of a file into the shard of its id; a shard keeps the order of the file.

    Args:
        source: that `write_rows` wrote.
        folder: for the shards; made if it is missing.

    Returns:
        The number of shards.

    Raises:
        ArtifactError: the file is missing or torn.
        DiskFullError: no space left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(torn_is_clear(source))
        file = stack.enter_context(pq.ParquetFile(source))
        stack.enter_context(disk_full_is_clear(folder))
        shards = num_shards(file.metadata.num_rows)
        writers = [
            stack.enter_context(
                pq.ParquetWriter(shard_path(folder, shard), file.schema_arrow, compression="zstd")
            )
            for shard in range(shards)
        ]
        for held in _held(file):
            places = _places(held, shards)
            for shard, writer in enumerate(writers):
                part = held.take(np.flatnonzero(places == shard))
                if len(part):
                    writer.write_table(part)
    sync_tree(folder)
    return shards


def _held(file: pq.ParquetFile) -> Iterator[pa.Table]:
    """The rows in lots of about `_HELD_BYTES`."""
    held: list[pa.RecordBatch] = []
    for batch in file.iter_batches(_READ_ROWS):
        held.append(batch)
        if sum(one.nbytes for one in held) >= _HELD_BYTES:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def _places(rows: pa.Table, shards: int) -> NDArray[np.int64]:
    return np.array([shard_of(str(name), shards) for name in rows["row_id"].to_pylist()], np.int64)
