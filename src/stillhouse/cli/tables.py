"""Results as plain tables that stay readable in a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns; the first is left-aligned, the rest right."""
    cells = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = []
    for row in cells:
        first = row[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([first, *rest]).rstrip())
    return "\n".join(lines)


def folded_table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """The same for a terminal: columns that do not fit beside the first go into a table below.

    Args:
        header: names of the columns.
        rows: cells, as many as the header.
        width: of the terminal in characters; 0 folds nothing.

    Returns:
        One table, or several with the same first column and an empty line between.
    """
    whole = table(header, rows)
    if not width or max(map(len, whole.splitlines())) <= width:
        return whole
    parts: list[list[int]] = []
    for column in range(1, len(header)):
        wider = [0, *(parts[-1] if parts else ()), column]
        if parts and _width(header, rows, wider) <= width:
            parts[-1].append(column)
        else:
            parts.append([column])
    return "\n\n".join(table(*_picked(header, rows, [0, *part])) for part in parts)


def _picked(
    header: Sequence[str], rows: Sequence[Sequence[str]], columns: Sequence[int]
) -> tuple[list[str], list[list[str]]]:
    return [header[one] for one in columns], [[row[one] for one in columns] for row in rows]


def _width(header: Sequence[str], rows: Sequence[Sequence[str]], columns: Sequence[int]) -> int:
    return max(map(len, table(*_picked(header, rows, columns)).splitlines()))


def in_bytes(size: float | None) -> str:
    """A size for people: 512 KB, 1.5 GB."""
    if size is None:
        return "-"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} B"


def in_time(seconds: float | None) -> str:
    """A duration for people: 8.2 s, 3 min 20 s, 2 h 5 min."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def in_usd(amount: float | Decimal | None) -> str:
    """Money for people: $12.40, $0.0031, $0.000009."""
    if amount is None:
        return "-"
    if amount == 0 or amount >= 1:
        return f"${amount:,.2f}"
    return f"${amount:.4f}" if amount >= 0.001 else f"${amount:.6f}"


def in_count(number: int) -> str:
    """A count for people: 1,234."""
    return f"{number:,}"
