"""The tokens of imported rows, beside the store of their targets. Legend: T tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillhouse.core.errors import ArtifactError
from stillhouse.core.hashing import digest_value
from stillhouse.core.targets import TargetKey
from stillhouse.tokens.tokenizer import digest_ids

FILE_NAME = "tokens.parquet"
_SCHEMA = pa.schema(
    [
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("ids", pa.list_(pa.int32()), nullable=False),
        pa.field("is_trained", pa.list_(pa.bool_()), nullable=False),
    ]
)
# assumption: a group of rows of 8,192 tokens stays at some megabytes.
_GROUP_ROWS = 64


@dataclass(frozen=True, slots=True, eq=False)
class ImportedExample:
    """One imported row as ids; its targets have its id in the store.

    Attributes:
        example_id: `file:row` of the source.
        ids: (T,) int32.
        is_trained: (T,) bool, true where the store has targets.
    """

    example_id: str
    ids: NDArray[np.int32]
    is_trained: NDArray[np.bool_]

    def key(self, tokenizer_digest: str) -> TargetKey:
        """What its targets belong to; what the teacher saw were these ids."""
        view = digest_value(["ids", digest_ids(self.ids), tokenizer_digest])
        return TargetKey(self.example_id, digest_ids(self.ids[self.is_trained]), view)


class ExampleWriter:
    """Writes examples one after the other; equal content gives equal bytes.

    Args:
        folder: gets the file.
    """

    def __init__(self, folder: Path) -> None:
        self._writer = pq.ParquetWriter(
            folder / FILE_NAME, _SCHEMA, compression="zstd", store_schema=False
        )
        self._waiting: list[dict[str, Any]] = []

    def append(self, example: ImportedExample) -> None:
        """Add one example."""
        row = {
            "example_id": example.example_id,
            "ids": example.ids,
            "is_trained": example.is_trained,
        }
        self._waiting.append(row)
        if len(self._waiting) == _GROUP_ROWS:
            self._write_group()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=_SCHEMA))
        self._waiting = []


def read_imported(folder: Path) -> Iterator[ImportedExample]:
    """The examples of imported targets.

    Args:
        folder: what `stillhouse targets import` wrote.

    Yields:
        Each example, in the order of the source; its arrays may be written to.

    Raises:
        ArtifactError: the file is missing or torn.
    """
    path = folder / FILE_NAME
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_GROUP_ROWS):
                for row in range(batch.num_rows):
                    name, ids, is_trained = (column[row] for column in batch.columns)
                    yield ImportedExample(
                        name.as_py(),
                        ids.values.to_numpy(zero_copy_only=False).copy(),  # so writable
                        is_trained.values.to_numpy(zero_copy_only=False),
                    )
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(
            f"{path} cannot be read: {str(error).splitlines()[0]}", "import the data set again"
        ) from None
