"""Rows of a Parquet or Arrow data set as arrays, each with the place that it came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillhouse.core.errors import InputError

_SUFFIXES = (".parquet", ".arrow")
# assumption: one row of 8,192 tokens with 128 entries holds some megabytes.
_BATCH_ROWS = 16


@dataclass(frozen=True, slots=True)
class Record:
    """One row.

    Attributes:
        place: `file:row`, rows from 1.
        columns: name to value.
    """

    place: str
    columns: dict[str, pa.Scalar[Any]]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def plain(self, name: str) -> Any:
        """The value as Python's own kinds; None where the row has none."""
        return self.columns[name].as_py()

    def numbers(self, name: str) -> NDArray[np.int64]:
        """A list of whole numbers, (T,).

        Args:
            name: of the column.

        Returns:
            The numbers.

        Raises:
            InputError: it is something else, or holds nulls.
        """
        values = self._values(name)
        if values.null_count or not pa.types.is_integer(values.type):
            raise self.wrong(f"{name} is {self.columns[name].type}; a list of whole numbers is")
        found: NDArray[np.int64] = values.to_numpy(zero_copy_only=False).astype(np.int64)
        return found

    def bytes_of_positions(self, name: str, width: int) -> NDArray[np.uint8]:
        """A list of lists of bytes, (N, width).

        Args:
            name: of the column.
            width: bytes of each inner list.

        Returns:
            The bytes.

        Raises:
            InputError: it is something else, or an inner list has another length.
        """
        outer = self._values(name)
        if not _is_list(outer.type) or not pa.types.is_integer(outer.type.value_type):
            raise self.wrong(f"{name} is {self.columns[name].type}; a list of lists of bytes is")
        lengths = pc.list_value_length(outer).to_numpy(zero_copy_only=False)
        off = np.flatnonzero(lengths != width)
        if len(off):
            raise InputError(
                f"{self.place}: position {off[0]} of {name} has {lengths[off[0]]:.0f} bytes; by "
                f"the compression config it has {width}",
                "the row is cut, or the config is not the one that it was packed with",
            )
        flat = outer.flatten()
        values = flat.to_numpy(zero_copy_only=False)
        if flat.null_count or (len(values) and (values.min() < 0 or values.max() > 255)):
            raise self.wrong(f"{name} holds what is no byte; a list of lists of bytes is")
        found: NDArray[np.uint8] = values.astype(np.uint8).reshape(len(outer), width)
        return found

    def wrong(self, message: str) -> InputError:
        """An error that names this row and ends in "wanted"."""
        return InputError(f"{self.place}: {message} wanted", "look at this row of the source")

    def _values(self, name: str) -> Any:
        value: Any = self.columns[name]
        if not _is_list(value.type) or not value.is_valid:
            raise self.wrong(f"{name} is {value.type if value.is_valid else 'null'}; a list is")
        return value.values


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def source_files(source: Path) -> list[Path]:
    """The files of a data set.

    Args:
        source: a Parquet or Arrow file, or a folder that holds some.

    Returns:
        At least one, in the order of their numbers.

    Raises:
        InputError: there is none.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise InputError(f"there is no file or folder {source}", "check the path")
    found = [path for path in source.rglob("*") if path.suffix in _SUFFIXES]
    if not found:
        raise InputError(
            f"the folder {source} holds no {' or '.join(_SUFFIXES)} file",
            "fetch the data set first; a folder of datasets.save_to_disk will do",
        )
    return sorted(found, key=_by_number)


def _by_number(path: Path) -> tuple[str, int, str]:
    """`data_10` after `data_9`."""
    head = path.stem.rstrip("0123456789")
    number = path.stem[len(head) :]
    return (f"{path.parent}/{head}", int(number or 0), path.name)


def column_names(path: Path) -> tuple[str, ...]:
    """The columns of a file.

    Args:
        path: the file.

    Returns:
        Their names.

    Raises:
        InputError: the file is torn, or of another format.
    """
    with _damage_is_clear(path), _open(path) as opened:
        return tuple(_schema(opened).names)


def count_rows(source: Path) -> int:
    """The rows of a data set, from its files' own counts.

    Args:
        source: a file or a folder.

    Returns:
        How many.

    Raises:
        InputError: a file is torn, or of another format.
    """
    total = 0
    for path in source_files(source):
        with _damage_is_clear(path), _open(path) as opened:
            if isinstance(opened, pq.ParquetFile):
                total += opened.metadata.num_rows
            else:
                total += sum(batch.num_rows for batch in opened)
    return total


def read_records(source: Path, wanted: Sequence[str]) -> Iterator[Record]:
    """The rows of a data set.

    Args:
        source: a file or a folder.
        wanted: the columns that are read, those that a file has.

    Yields:
        Each row; its place is relative to a folder.

    Raises:
        InputError: a file is torn, or of another format.
    """
    for path in source_files(source):
        name = path.relative_to(source).as_posix() if source.is_dir() else path.name
        number = 0
        with _damage_is_clear(path), _open(path) as opened:
            columns = [column for column in _schema(opened).names if column in wanted]
            for batch in _batches(opened, columns):
                for row in range(batch.num_rows):
                    number += 1
                    values = {column: batch.column(column)[row] for column in columns}
                    yield Record(f"{name}:{number}", values)


_File = pq.ParquetFile | pa.RecordBatchStreamReader


def _open(path: Path) -> _File:
    if path.suffix == ".arrow":
        return pa.ipc.open_stream(pa.memory_map(str(path)))
    return pq.ParquetFile(path)


def _schema(opened: _File) -> pa.Schema:
    if isinstance(opened, pq.ParquetFile):
        return opened.schema_arrow
    return opened.schema


def _batches(opened: _File, columns: list[str]) -> Iterator[pa.RecordBatch]:
    if isinstance(opened, pq.ParquetFile):
        yield from opened.iter_batches(_BATCH_ROWS, columns=columns)
        return
    for batch in opened:
        yield batch.select(columns)


@contextmanager
def _damage_is_clear(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path}: not a whole {path.suffix[1:] or 'Parquet'} file: "
            f"{str(error).splitlines()[0]}",
            "fetch the file again",
        ) from None
