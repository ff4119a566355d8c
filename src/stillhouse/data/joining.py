"""The step that brings rows what a file says of them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import cycle, repeat
from pathlib import Path
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Drop, Keep, Outcome, Row
from stillhouse.data.paths import MISSING, find, value_at
from stillhouse.data.plain_values import plain_text
from stillhouse.data.readers import read_rows, require_unchanged
from stillhouse.data.tables_told import Tables
from stillhouse.recipes.field_steps import Join, pairs_of
from stillhouse.recipes.rows import Source

UNMATCHED = "the file says nothing of it"

_Name = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JoinStep:
    """Gives each row the fields of the record that has its name.

    Attributes:
        wanted: the settings, with where the file lies.
        digest: of the file's content.
        takes_any: rows that stand in for others have no names. Where they would end, each gets
            the record whose turn it is, so that a recipe can be looked at before its rows are
            there; where they may go on without, they do, as if whoever is asked next was asked
            about all of them.
    """

    wanted: Join
    digest: str
    takes_any: bool = False
    name: str = "join"
    version: int = 1
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep the rows that the file names, with what it says."""
        records = read_records(self.wanted, self.digest)
        takes_turns = self.takes_any and self.wanted.unmatched == "drop" and records
        turns = cycle(records.values()) if takes_turns else repeat(None)
        return [self._joined(row, records, any_) for row, any_ in zip(batch, turns, strict=False)]

    def _joined(
        self,
        row: Row,
        records: Mapping[_Name, Mapping[str, Any]],
        whose_turn_it_is: Mapping[str, Any] | None,
    ) -> Outcome:
        taken = next((name for name in self.wanted.makes if name in row.fields), None)
        if taken is not None:
            raise InputError(
                f"{row.provenance} has a field {taken!r} already, which join would overwrite",
                "take it under another name: take: {other: " + taken + "}",
            )
        found = records.get(_name(row, self.wanted.reads), whose_turn_it_is)
        if found is not None:
            return Keep(replace(row, fields=row.fields | dict(found)))
        if self.wanted.unmatched == "keep":
            return Keep(row, (UNMATCHED,))
        return Drop(row, UNMATCHED, " / ".join(_name(row, self.wanted.reads)))

    def tell(self, rows: Iterable[Row]) -> Tables:
        """How the rows and the file fit each other.

        Args:
            rows: that go on.

        Returns:
            One table.
        """
        records = read_records(self.wanted, self.digest)
        names = [_name(row, self.wanted.reads) for row in rows]
        matched = [name for name in names if name in records]
        told = {
            "records of the file": len(records),
            "rows with a record": len(matched),
            "rows that are kept without one": len(names) - len(matched),
            "records of no row": len(records) - len(set(matched)),
        }
        return {f"joined with {Path(self.wanted.file).name}": told}


@lru_cache(maxsize=4)  # a process works on many shards; a file is read once
def _read_records(file: str, on: Any, take: Any, digest: str) -> dict[_Name, dict[str, Any]]:
    require_unchanged(Path(file), digest)
    found: dict[_Name, dict[str, Any]] = {}
    places: dict[_Name, str] = {}
    for record in read_rows(Source(file=file), Path()):
        name = _name(record, [path for _, path in on])
        if not all(name):
            lacks = next(path for (_, path), part in zip(on, name, strict=True) if not part)
            raise InputError(
                f"{record.provenance}: {lacks} is missing or empty, so that this record is of "
                "no row",
                "name the fields that the file has under the step's `on`, or mend the record",
            )
        if name in found:
            raise InputError(
                f"{record.provenance}: says again what {places[name]} says of {' / '.join(name)!r}",
                "leave one of both, or name one more field under the step's `on`",
            )
        found[name] = {ours: value_at(record, path, "join.take") for ours, path in take}
        places[name] = record.provenance
    return found


def read_records(wanted: Join, digest: str) -> dict[_Name, dict[str, Any]]:
    """What a file says, by the name of the row that it says it of.

    Args:
        wanted: file, `on` and `take`.
        digest: of the file's content.

    Returns:
        The same object for the same arguments, as long as the process lives.

    Raises:
        InputError: it cannot be read, is another file by now, a record names nothing or lacks a
            field, or two records are of one row.
    """
    return _read_records(wanted.file, pairs_of(wanted.on), pairs_of(wanted.take), digest)


def _name(row: Row, paths: Iterable[str]) -> _Name:
    return tuple(_plain(find(row.fields, path)) for path in paths)


def _plain(value: Any) -> str:
    if value is MISSING or (isinstance(value, float) and math.isnan(value)):
        return ""
    return " ".join(unicodedata.normalize("NFKC", plain_text(value)).casefold().split())
