"""Records of a Parquet file or a Hugging Face data set, batch by batch."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.core.errors import InputError
from stillhouse.data.nearest import did_you_mean
from stillhouse.data.tables import Record
from stillhouse.recipes.rows import Dataset

_BATCH_ROWS = 1024  # assumption: a batch of rows with long texts stays at some megabytes


def read_parquet(path: Path) -> Iterator[Record]:
    """Provenance and fields of each row of a Parquet file.

    Args:
        path: the file.

    Yields:
        (`file:row`, fields), rows from 1.

    Raises:
        InputError: the file is not Parquet, is torn, names a column twice, or has no rows.
    """
    num_rows = 0
    try:
        with pq.ParquetFile(path) as file:
            _refuse_twice(path.name, file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                for fields in batch.to_pylist():
                    num_rows += 1
                    yield f"{path.name}:{num_rows}", {k: as_json(v) for k, v in fields.items()}
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path.name}: not a whole Parquet file: {str(error).splitlines()[0]}",
            "name its format in collect.source.format, or fetch the file again",
        ) from None
    except (ValueError, OverflowError) as error:
        # A day beyond the year 9999, nanoseconds without pandas, bytes that are no UTF-8.
        raise InputError(
            f"{path.name}: a value behind row {num_rows - num_rows % _BATCH_ROWS} cannot be read: "
            f"{str(error).splitlines()[0]}",
            "write that column as text",
        ) from None
    if not num_rows:
        raise InputError(f"{path.name} has no rows", "name another file in collect.source.file")


def _refuse_twice(name: str, columns: list[str]) -> None:
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise InputError(
            f"{name}: the column {twice!r} stands {columns.count(twice)} times",
            "give every column a name of its own",
        )


def read_dataset(dataset: Dataset, base_folder: Path) -> Iterator[Record]:
    """Provenance and fields of each row of a data set of the hub or of a saved folder.

    Args:
        dataset: id or folder, configuration, split and revision.
        base_folder: what a folder's path is relative to.

    Yields:
        (`dataset@revision:index`, fields).

    Raises:
        InputError: the package `datasets` is missing, or it cannot load this.
    """
    table = load_table(dataset, base_folder)
    name = dataset_name(dataset)
    for index, fields in enumerate(table):
        yield f"{name}:{index}", {key: as_json(value) for key, value in fields.items()}


def dataset_name(dataset: Dataset) -> str:
    """A name without this machine's folders: `id[/config]/split[@revision]`."""
    parts = [dataset.id if _is_hub_id(dataset.id) else Path(dataset.id).name]
    parts += [part for part in (dataset.config, dataset.split) if part]
    return "/".join(parts) + (f"@{dataset.revision}" if dataset.revision else "")


def _is_hub_id(text: str) -> bool:
    return not Path(text).is_absolute() and text.count("/") <= 1 and not text.startswith((".", "~"))


def load_table(dataset: Dataset, base_folder: Path) -> Any:
    """The `datasets.Dataset` itself, memory-mapped.

    Args:
        dataset: as in the recipe.
        base_folder: what a folder's path is relative to.

    Returns:
        One split, at least one row long.

    Raises:
        InputError: the package is missing, or it cannot load this.
    """
    try:
        import datasets
    except ImportError:
        raise InputError(
            f"collect.source.dataset {dataset.id!r} needs the package datasets",
            'pip install "stillhouse[train]"',
        ) from None
    folder = base_folder / Path(dataset.id).expanduser()
    try:
        if folder.is_dir():
            table: Any = datasets.load_from_disk(str(folder))
        else:
            table = datasets.load_dataset(
                dataset.id, dataset.config, split=dataset.split, revision=dataset.revision
            )
    except (OSError, ValueError) as error:
        raise InputError(
            f"collect.source.dataset {dataset.id!r} cannot be loaded: {error}",
            f"it is neither a folder ({folder}) nor a data set that can be reached with this "
            "config, split and revision",
        ) from None
    if isinstance(table, dict):
        if dataset.split not in table:
            raise InputError(
                f"{dataset.id}: no split {dataset.split!r}{did_you_mean(dataset.split, table)}",
                f"its splits are {', '.join(table)}",
            )
        table = table[dataset.split]
    if not len(table):
        raise InputError(f"{dataset_name(dataset)} has no rows", "name another split")
    return table


def as_json(value: Any) -> Any:
    """The JSON value of a column's value: NaN is null, bytes are base64, dates are ISO text."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if value is None or isinstance(value, (str, int)):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
