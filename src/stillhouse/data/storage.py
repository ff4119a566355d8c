"""Rows, examples, completions and dropped rows on disk, as Parquet.

Equal content gives equal bytes. Fields are one JSON column whose keys keep their order, because
an answer that is an object is learned with its keys in that order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.core.errors import ArtifactError, InputError
from stillhouse.core.files import disk_full_is_clear, sync_folder
from stillhouse.core.rows import (
    Completion,
    Defer,
    Drop,
    Ended,
    Example,
    Merge,
    Message,
    Row,
)
from stillhouse.data.votes import Votes

_GROUP_ROWS = 8192  # assumption: a row group of short texts stays at some megabytes
_BATCH_ROWS = 1024  # assumption: a thousand rows as Python objects stay at some megabytes
_HINT = "delete the folder it stands in; the next run makes it again"
_TEXT: pa.DataType = pa.string()
_ROWS = pa.schema(
    {
        "row_id": _TEXT,
        "provenance": _TEXT,
        "root_id": _TEXT,
        "parent_ids": pa.list_(_TEXT),
        "fields": _TEXT,
    }
)
_ENDED = pa.schema([*_ROWS, *((name, _TEXT) for name in ("outcome", "reason", "evidence", "into"))])
_EXAMPLES = pa.schema(
    [
        ("example_id", _TEXT),
        ("part", _TEXT),
        ("prompt", _TEXT),
        ("answer", _TEXT),
        ("reference", _TEXT),
        ("group", _TEXT),
    ]
)
_OF_DOMAINS = _EXAMPLES.append(pa.field("domain", _TEXT))
_COMPLETIONS = pa.schema(
    [
        ("example_id", _TEXT),
        ("sample_index", pa.int64()),
        ("text", _TEXT),
        ("finish", _TEXT),
        ("reason", _TEXT),
        ("num_tokens", pa.int64()),
        ("prompt_label", _TEXT),
    ]
)

_VOTES = pa.schema(
    {"example_id": _TEXT, "classes": pa.list_(_TEXT), "counts": pa.list_(pa.float64())}
)
_OUTCOMES: dict[str, type[Ended]] = {"dropped": Drop, "merged": Merge, "deferred": Defer}

_Record = dict[str, Any]


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows, all or nothing."""
    _write(path, _ROWS, (_row_record(row) for row in rows))


def read_rows_file(path: Path) -> list[Row]:
    """The rows that `write_rows` wrote.

    Args:
        path: the file.

    Returns:
        Equal rows in their order.

    Raises:
        ArtifactError: the file is missing or torn.
    """
    return [row_of(record) for record in _read(path, _ROWS)]


def write_ended(path: Path, ended: Iterable[Ended]) -> None:
    """Write rows that ended with how and why, all or nothing."""
    _write(path, _ENDED, (_ended_record(one) for one in ended))


def read_ended(path: Path) -> list[Ended]:
    """The ended rows that `write_ended` wrote."""
    return [_ended(record) for record in _read(path, _ENDED)]


def _ended_record(ended: Ended) -> _Record:
    outcome = next(name for name, kind in _OUTCOMES.items() if isinstance(ended, kind))
    return _row_record(ended.row) | {
        "outcome": outcome,
        "reason": ended.reason,
        "evidence": ended.evidence,
        "into": ended.into if isinstance(ended, Merge) else "",
    }


def _ended(record: Mapping[str, Any]) -> Ended:
    row, kind = row_of(record), _OUTCOMES[record["outcome"]]
    if kind is Merge:
        return Merge(row, record["into"], record["evidence"])
    return kind(row, record["reason"], record["evidence"])


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    """Write examples, all or nothing.

    Args:
        path: the file, replaced if it exists.
        examples: in the order they are read again.

    Raises:
        InputError: an answer holds half of a surrogate pair, which no file format can store.
        DiskFullError: no space left.
    """
    waiting = iter(examples)
    first = next(waiting, None)
    schema = _OF_DOMAINS if first and first.domain else _EXAMPLES
    held = [] if first is None else [first]
    records = (_example_record(example) for example in chain(held, waiting))
    _write(path, schema, ({name: record[name] for name in schema.names} for record in records))


def read_examples(path: Path) -> list[Example]:
    """The examples that `write_examples` wrote.

    Args:
        path: the file.

    Returns:
        Equal examples in their order.

    Raises:
        ArtifactError: the file is missing or torn.
    """
    return list(iterate_examples(path))


def iterate_examples(path: Path) -> Iterator[Example]:
    """The same as `read_examples`, a group of rows at a time."""
    return map(_example, _iterate(path, _EXAMPLES, _OF_DOMAINS))


class ExampleReader:
    """The examples of some parts by their ids, a group of rows at a time in memory.

    Args:
        path: that `write_examples` wrote.
        parts: whose examples are found.

    Raises:
        ArtifactError: the file is missing or torn.
    """

    def __init__(self, path: Path, parts: Iterable[str]) -> None:
        wanted = set(parts)
        self._path = path
        self._places: dict[str, tuple[int, int]] = {}
        self._group, self._rows = -1, pa.table({})
        self._block: tuple[int, int] = (-1, -1)
        self._records: list[_Record] = []
        with torn_is_clear(path):
            self._file = pq.ParquetFile(path)
            for group in range(self._file.num_row_groups):
                named = self._file.read_row_group(group, columns=["example_id", "part"])
                pairs = zip(*(named[name].to_pylist() for name in named.column_names), strict=True)
                for row, (example_id, part) in enumerate(pairs):
                    if part in wanted:
                        self._places[example_id] = group, row

    def __len__(self) -> int:
        return len(self._places)

    def get(self, example_id: str) -> Example | None:
        """The example of that name; None where it is of another part."""
        place = self._places.get(example_id)
        if place is None:
            return None
        group, row = place
        if group != self._group:
            with torn_is_clear(self._path):
                self._group, self._rows = group, self._file.read_row_group(group)
        block, offset = divmod(row, _BATCH_ROWS)
        if (group, block) != self._block:
            self._block = group, block
            self._records = self._rows.slice(block * _BATCH_ROWS, _BATCH_ROWS).to_pylist()
        return _example(self._records[offset])


def write_completions(path: Path, completions: Iterable[Completion]) -> None:
    """Write completions, all or nothing; thoughts, tool calls and log-probabilities are not."""
    _write(
        path,
        _COMPLETIONS,
        (
            {name: getattr(completion, name) for name in _COMPLETIONS.names}
            for completion in completions
        ),
    )


def read_completions(path: Path) -> list[Completion]:
    """The completions that `write_completions` wrote."""
    return list(iterate_completions(path))


def iterate_completions(path: Path) -> Iterator[Completion]:
    """The same as `read_completions`, a group of rows at a time."""
    return (Completion(**record) for record in _iterate(path, _COMPLETIONS))


def write_votes(path: Path, votes: Mapping[str, Votes]) -> None:
    """Write the votes on examples, by their names, all or nothing."""
    _write(
        path,
        _VOTES,
        (
            {"example_id": name, "classes": list(own), "counts": list(own.values())}
            for name, own in votes.items()
        ),
    )


def read_votes(path: Path) -> dict[str, Votes]:
    """The votes that `write_votes` wrote."""
    return {
        record["example_id"]: dict(zip(record["classes"], record["counts"], strict=True))
        for record in _read(path, _VOTES)
    }


def _row_record(row: Row) -> _Record:
    return {
        "row_id": row.row_id,
        "provenance": row.provenance,
        "root_id": row.root_id,
        "parent_ids": list(row.parent_ids),
        "fields": _json(row.fields),
    }


def row_of(record: Mapping[str, Any]) -> Row:
    """The row of a record of such a file."""
    return Row(
        row_id=record["row_id"],
        fields=json.loads(record["fields"]),
        provenance=record["provenance"],
        root_id=record["root_id"],
        parent_ids=tuple(record["parent_ids"]),
    )


def _example_record(example: Example) -> _Record:
    return {
        "example_id": example.example_id,
        "part": example.part,
        "prompt": _json([turn.as_list() for turn in example.prompt]),
        "answer": example.answer,
        "reference": example.reference,
        "group": example.group,
        "domain": example.domain,
    }


def _example(record: Mapping[str, Any]) -> Example:
    return Example(
        example_id=record["example_id"],
        part=record["part"],
        prompt=tuple(map(Message.from_list, json.loads(record["prompt"]))),
        answer=record["answer"],
        reference=record["reference"],
        group=record["group"],
        domain=record.get("domain", ""),
    )


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # A lone surrogate becomes its JSON escape, so that a torn emoji in a source survives storage.
    return text.encode("utf-8", "backslashreplace").decode()


def _write(path: Path, schema: pa.Schema, records: Iterable[_Record]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    waiting = iter(records)
    try:
        with disk_full_is_clear(path.parent), temporary.open("wb") as stream:
            with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
                while group := list(islice(waiting, _GROUP_ROWS)):
                    writer.write_table(_table(group, schema, path.name))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _table(records: list[_Record], schema: pa.Schema, name: str) -> pa.Table:
    try:
        return pa.Table.from_pylist(records, schema=schema)
    except UnicodeEncodeError as error:
        first = next(record for record in records if not _is_storable(record))
        row_id = first.get("example_id") or first.get("row_id")
        raise InputError(
            f"{name}: the text of {row_id} holds half of a surrogate pair "
            f"(U+{ord(error.object[error.start]):04X}), which is no character",
            "set prepare.clean.fix_text: true, which replaces it",
        ) from None


def _is_storable(record: Mapping[str, Any]) -> bool:
    try:
        "".join(value for value in record.values() if isinstance(value, str)).encode()
    except UnicodeEncodeError:
        return False
    return True


def _read(path: Path, schema: pa.Schema) -> list[_Record]:
    return list(_iterate(path, schema))


def _iterate(path: Path, *schemas: pa.Schema) -> Iterator[_Record]:
    with torn_is_clear(path), pq.ParquetFile(path) as file:
        found = file.schema_arrow
        if found not in schemas:
            raise ArtifactError(f"{path} holds other columns: {', '.join(found.names)}", _HINT)
        for batch in file.iter_batches(_BATCH_ROWS):
            yield from batch.to_pylist()


@contextmanager
def torn_is_clear(path: Path) -> Iterator[None]:
    """Turn the errors of a file that is not whole into one that says so.

    Args:
        path: that is read inside.

    Yields:
        Once.

    Raises:
        ArtifactError: the file is missing or torn.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"{path} is missing or torn: {reason}", _HINT) from None
