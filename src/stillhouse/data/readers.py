"""Rows of whatever a recipe's `collect.source` names, streamed, each with where it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stillhouse.core.errors import InputError, NotBuiltError
from stillhouse.core.hashing import digest_value
from stillhouse.core.rows import Row
from stillhouse.data.columnar import dataset_name, read_dataset, read_parquet
from stillhouse.data.documents import read_json, read_jsonl
from stillhouse.data.nearest import did_you_mean, some_of
from stillhouse.data.tables import Record, read_csv, read_tsv
from stillhouse.recipes.rows import Source

_FORMAT_OF_SUFFIX = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_READERS: dict[str, Callable[[Path, Source], Iterator[Record]]] = {
    "csv": lambda path, source: read_csv(path, source.encoding),
    "tsv": lambda path, source: read_tsv(path, source.encoding),
    "jsonl": lambda path, source: read_jsonl(path, source.encoding),
    "json": lambda path, source: read_json(path, source.encoding, source.records),
    "parquet": lambda path, _: read_parquet(path),
}
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
_ROW_ID_LENGTH = 20


def read_rows(source: Source, base_folder: Path) -> Iterator[Row]:
    """Each row of a file or a data set, in order.

    A row's id is a digest of the source's name (without folders), the row's index and its
    content, so that it is the same on every machine.

    Args:
        source: a recipe's `collect.source` with `file` or `dataset`.
        base_folder: what a relative path starts from, most often the recipe's folder.

    Yields:
        Rows whose provenance is `file:line` or `dataset:index`.

    Raises:
        InputError: what cannot be read as told, with file, line and a mend.
        NotBuiltError: a provider.
    """
    name = source_name(source)
    for index, (provenance, fields) in enumerate(_records(source, base_folder)):
        yield build_row(name, index, provenance, fields)


def build_row(name: str, index: int, provenance: str, fields: dict[str, Any]) -> Row:
    """A raw row with its stable id.

    Args:
        name: the source's name, without a machine's folders.
        index: the row's position from 0.
        provenance: where a person finds it.
        fields: JSON values.

    Returns:
        The row.

    Raises:
        InputError: a number that JSON does not have (infinite).
    """
    try:
        row_id = digest_value([name, index, fields])[:_ROW_ID_LENGTH]
    except ValueError:
        raise InputError(
            f"{provenance}: holds a number that is infinite or not a number",
            "JSON writes a missing number as null",
        ) from None
    return Row(row_id=row_id, fields=fields, provenance=provenance)


def source_name(source: Source) -> str:
    """The source's name without this machine's folders."""
    if source.dataset:
        return dataset_name(source.dataset)
    return Path(source.file or "").name


def _records(source: Source, base_folder: Path) -> Iterator[Record]:
    if source.dataset:
        return read_dataset(source.dataset, base_folder)
    if source.provider:
        raise NotBuiltError(
            f'collect.source.provider "{source.provider.kind}" is not built yet',
            "fetch the rows yourself and name them in collect.source.file",
        )
    path = find_file(source, base_folder)
    form = format_of(source, path)
    if source.records and form != "json":
        raise InputError(
            f"collect.source.records is for JSON files, {path.name} is {form}",
            "remove it, or set collect.source.format: json",
        )
    return _READERS[form](path, source)


def find_file(source: Source, base_folder: Path) -> Path:
    """The path of `source.file`.

    Args:
        source: a source with a file.
        base_folder: what a relative path starts from.

    Returns:
        A path to a file that exists and is not empty.

    Raises:
        InputError: it is missing (with the nearest names), a folder, or 0 bytes long.
    """
    if not source.file:
        raise InputError(
            "collect.source names no file or dataset to read",
            "rows of a task are generated, see tasks/sample_rows.py",
        )
    path = base_folder / Path(source.file).expanduser()
    if path.is_dir():
        inside = sorted(item.name for item in path.iterdir() if item.suffix in _FORMAT_OF_SUFFIX)
        raise InputError(
            f"{path} is a folder, collect.source.file needs one file",
            f"it holds: {some_of(inside) or 'no file of rows'}",
        )
    if not path.is_file():
        raise _missing(path)
    if path.stat().st_size == 0:
        raise InputError(f"{path.name} is empty (0 bytes)", f"look at {path}")
    return path


def _missing(path: Path) -> InputError:
    if not path.parent.is_dir():
        return InputError(
            f"no file {path}: the folder {path.parent} does not exist",
            "a relative path starts from the recipe's folder",
        )
    names = sorted(item.name for item in path.parent.iterdir() if item.is_file())
    rows = [name for name in names if Path(name).suffix.lower() in _FORMAT_OF_SUFFIX]
    return InputError(
        f"no file {path}{did_you_mean(path.name, names)}",
        f"files of rows in that folder: {some_of(rows) or 'none'}",
    )


def format_of(source: Source, path: Path) -> str:
    """How a file is read: as the recipe says, else by its suffix.

    Args:
        source: a source with a file.
        path: the file.

    Returns:
        `csv`, `tsv`, `jsonl`, `json` or `parquet`.

    Raises:
        InputError: format is `auto` and the suffix is not known.
    """
    if source.format != "auto":
        return source.format
    suffix = path.suffix.lower()
    if suffix in _FORMAT_OF_SUFFIX:
        return _FORMAT_OF_SUFFIX[suffix]
    if suffix in _PACKED:
        raise InputError(f"{path.name} is packed ({suffix})", "unpack it first")
    raise InputError(
        f"{path.name}: the suffix {suffix or '(none)'!r} does not say what it is"
        f"{did_you_mean(suffix, _FORMAT_OF_SUFFIX)}",
        "set collect.source.format: csv, tsv, jsonl, json or parquet",
    )
