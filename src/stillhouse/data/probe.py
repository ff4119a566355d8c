"""A look at a source before a run: every row of a small one, the first rows of a big one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from stillhouse.core.hashing import digest_file, digest_folder, digest_value
from stillhouse.core.rows import Row
from stillhouse.data.columnar import load_table
from stillhouse.data.columns import select_columns
from stillhouse.data.readers import find_file, format_of, read_rows, source_name
from stillhouse.recipes.rows import Dataset, Source

_WHOLE_BELOW_BYTES = 64 * 2**20  # assumption: read and checked in a few seconds
_FIRST_ROWS = 20_000  # assumption: enough to know lengths and to meet what is wrong throughout


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What is known of a source before a run.

    Attributes:
        num_rows: rows that will be collected, `limit` applied.
        is_exact: `num_rows` was counted; otherwise it is estimated from the bytes read.
        rows: the rows that were read, columns applied.
        num_bytes: size on disk; 0 for generated rows and data sets of the hub.
        digest: changes when the content changes; the same on every machine.
    """

    num_rows: int
    is_exact: bool
    rows: tuple[Row, ...]
    num_bytes: int
    digest: str


def probe_source(
    source: Source, columns: Mapping[str, str], base_folder: Path, limit: int | None
) -> SourceFacts:
    """Facts of a file or a data set; what is wrong with its rows is raised here.

    Args:
        source: a recipe's `collect.source` with `file` or `dataset`.
        columns: our name to a dotted path in the record.
        base_folder: what a relative path starts from.
        limit: rows that are collected at most.

    Returns:
        Counts, the rows that were read, and the digest of the content.

    Raises:
        InputError: rows that cannot be read, or columns that are not there.
    """
    if source.dataset:
        return _probe_dataset(source, source.dataset, columns, base_folder, limit)
    return _probe_file(source, columns, base_folder, limit)


def probe_rows(rows: Iterable[Row], columns: Mapping[str, str], limit: int | None) -> SourceFacts:
    """Facts of rows that are generated: all are looked at."""
    seen = tuple(select_columns(row, columns) for row in islice(rows, limit))
    return SourceFacts(len(seen), True, seen, 0, digest_value([row.row_id for row in seen]))


def _probe_file(
    source: Source, columns: Mapping[str, str], base_folder: Path, limit: int | None
) -> SourceFacts:
    path = find_file(source, base_folder)
    num_bytes = path.stat().st_size
    most = None if num_bytes < _WHOLE_BELOW_BYTES else _FIRST_ROWS
    rows = _read(source, columns, base_folder, min((n for n in (most, limit) if n), default=None))
    num_rows, is_exact = len(rows), True
    if most and len(rows) == most and limit != most:
        num_rows, is_exact = _count(source, path, rows[-1])
        num_rows = min(num_rows, limit or num_rows)
    return SourceFacts(num_rows, is_exact, rows, num_bytes, digest_file(path))


def _read(
    source: Source, columns: Mapping[str, str], base_folder: Path, limit: int | None
) -> tuple[Row, ...]:
    rows = islice(read_rows(source, base_folder), limit)
    return tuple(select_columns(row, columns) for row in rows)


def _count(source: Source, path: Path, last: Row) -> tuple[int, bool]:
    form = format_of(source, path)
    if form == "parquet":
        return pq.read_metadata(path).num_rows, True
    if form == "json":
        return sum(1 for _ in read_rows(source, path.parent)), True
    last_line = int(last.provenance.rsplit(":", 1)[1])
    with path.open("rb") as stream:
        num_bytes_read = sum(len(line) for line in islice(stream, last_line))
    return round(_FIRST_ROWS * path.stat().st_size / num_bytes_read), False


def _probe_dataset(
    source: Source,
    dataset: Dataset,
    columns: Mapping[str, str],
    base_folder: Path,
    limit: int | None,
) -> SourceFacts:
    table = load_table(dataset, base_folder)
    num_all = len(table)
    rows = _read(source, columns, base_folder, min(limit or _FIRST_ROWS, _FIRST_ROWS))
    folder = base_folder / Path(dataset.id).expanduser()
    if folder.is_dir():
        content: object = digest_folder(folder)
    elif len(rows) == min(num_all, limit or num_all):
        content = [row.row_id for row in rows]
    else:
        # Its files are named with the commit that they are of, and tell of rows not looked at.
        content = [[row.row_id for row in rows], sorted(table.download_checksums or ())]
    digest = digest_value([source_name(source), num_all, content])
    return SourceFacts(min(num_all, limit or num_all), True, rows, 0, digest)
