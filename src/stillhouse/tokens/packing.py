"""Which examples share a row, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Sequence


def pack_rows(lengths: Sequence[int]) -> list[list[int]]:
    """Examples laid into few rows that are as wide as the longest of them: first-fit decreasing.

    Rows of that width never hold more tokens than one row an example would, nor does a token
    ever meet more others in attention, so packing costs no memory or operation that padding
    saves. Wider rows hold less padding still, but attention over them grows with the square.

    Args:
        lengths: tokens of each example, each at least 1.

    Returns:
        Indices of the examples of each row, in their order; the same for the same lengths.

    Source: Johnson 1973, "Near-optimal bin packing algorithms", section 2: at most 11/9 of the
    fewest rows, and one more.
    """
    width = max(lengths)
    rows: list[list[int]] = []
    free: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        length = lengths[index]
        row = next((row for row, room in enumerate(free) if room >= length), len(rows))
        if row == len(rows):
            rows.append([])
            free.append(width)
        rows[row].append(index)
        free[row] -= length
    return rows
