"""Rows of whatever a recipe's `collect.source` names, streamed, each with where it came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from stillhouse.core.errors import InputError
from stillhouse.core.hashing import digest_file, digest_value
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

    Args:
        source: a recipe's `collect.source` with `file` or `dataset`.
        base_folder: what a relative path starts from, most often the recipe's folder.

    Returns:
        An iterator of rows whose provenance is `file:line` or `dataset:index`.

    Raises:
        InputError: what cannot be read as told, with file, line and a mend.
    """
    return build_rows(_records(source, base_folder))


def build_rows(records: Iterable[Record]) -> Iterator[Row]:
    """Raw rows, each named by its content alone, so that no row's place changes another's id.

    Args:
        records: (where a person finds it, JSON values) of every row of one source.

    Yields:
        Rows in order. The id is a digest of the fields; the second row with equal fields has
        `-2` after it, the third `-3`.

    Raises:
        InputError: a number that JSON does not have (infinite).
    """
    times_seen = Counter[bytes]()
    for provenance, fields in records:
        try:
            digest = digest_value(fields)[:_ROW_ID_LENGTH]
        except ValueError:
            raise InputError(
                f"{provenance}: holds a number that is infinite or not a number",
                "JSON writes a missing number as null",
            ) from None
        # As bytes a digest takes half the memory, and this is all that is kept of a row.
        content = bytes.fromhex(digest)
        times_seen[content] += 1
        repeat = f"-{times_seen[content]}" if times_seen[content] > 1 else ""
        yield Row(row_id=digest + repeat, fields=fields, provenance=provenance)


def source_name(source: Source) -> str:
    """The source's name without this machine's folders."""
    if source.dataset:
        return dataset_name(source.dataset)
    return Path(source.file or "").name


def _records(source: Source, base_folder: Path) -> Iterator[Record]:
    if source.dataset:
        return read_dataset(source.dataset, base_folder)
    path = find_file(source, base_folder)
    form = format_of(source, path)
    if source.records and form != "json":
        raise InputError(
            f"collect.source.records is for JSON files, {path.name} is {form}",
            "remove it, or set collect.source.format: json",
        )
    return _READERS[form](path, source)


def require_unchanged(path: Path, digest: str) -> None:
    """Refuse a file that is another than when the run began, so that nothing has a false name.

    Args:
        path: that was read.
        digest: of its content then.

    Raises:
        InputError: it has changed, or is gone.
    """
    if not path.is_file() or digest_file(path) != digest:
        raise InputError(f"{path} has changed since the run began", "run again")


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
