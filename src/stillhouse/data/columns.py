"""The recipe's `columns`: which values of a record are kept, and under which name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stillhouse.core.rows import Row
from stillhouse.data.paths import value_at


def select_columns(row: Row, columns: Mapping[str, str]) -> Row:
    """The row with only the mapped fields; the row itself when nothing is mapped.

    Args:
        row: as the reader gave it.
        columns: our name to a dotted path in the record.

    Returns:
        A row with the same id and provenance.

    Raises:
        InputError: a path that the row does not have.
    """
    if not columns:
        return row
    fields = {
        name: value_at(row, path, f"collect.columns.{name}") for name, path in columns.items()
    }
    return replace(row, fields=fields)
