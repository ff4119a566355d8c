"""A value as a text by which it is told from others, the same however a table writes a number."""

from __future__ import annotations

from typing import Any


def plain_text(value: Any) -> str:
    """The text of a value.

    Args:
        value: of a field of a row.

    Returns:
        Without blanks around it; empty for null. A column of numbers with a gap, as pandas writes
        it, has 7.0 where another file has 7: both are `7`.
    """
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()
