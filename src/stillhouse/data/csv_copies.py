"""Rows as a CSV file that people open in a spreadsheet; the Parquet beside it is the truth.

A text that a spreadsheet would take for a formula gets a `'` before it. Half of a surrogate pair,
which no file can hold, is written as its escape.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from stillhouse.core.files import disk_full_is_clear, temporary_beside
from stillhouse.core.rows import Row

Record = tuple[Mapping[str, Any], Row]
"""What stands before a row's own fields, and the row."""

_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?%?")


def write_csv(path: Path, leading: Iterable[str], records: Callable[[], Iterable[Record]]) -> int:
    """Write rows under a header of all their fields, all or nothing.

    Args:
        path: the file, replaced if it exists.
        leading: columns that stand before the rows' fields.
        records: gives the rows anew each time it is called: once for the header, once for the rows.

    Returns:
        The number of rows.

    Raises:
        DiskFullError: no space left.
    """
    first = [*leading]
    fields = list(dict.fromkeys(name for _, row in records() for name in row.fields))
    names = [*first, *(f"field {name}" if name in first else name for name in fields)]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    count = 0
    try:
        with (
            disk_full_is_clear(path.parent),
            temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
        ):
            # Python quotes a lone carriage return only where lines end in one.
            writer = csv.writer(stream, lineterminator="\r\n")
            writer.writerow(map(_cell, names))
            for before, row in records():
                own = (row.fields.get(name) for name in fields)
                writer.writerow(map(_cell, (*(before.get(name, "") for name in first), *own)))
                count += 1
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return count


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
