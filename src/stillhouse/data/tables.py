"""Records of a CSV or TSV file, one at a time, each with the line it starts on.

CSV is read strictly: a quote that does not close is an error, never a longer cell. In TSV a line
is a record and quotes are text, unless they wrap a whole field and are doubled inside it, which
is how spreadsheets write it.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from stillhouse.core.errors import InputError
from stillhouse.data.lines import read_lines
from stillhouse.data.nearest import some_of

# The csv module refuses cells above 131,072 characters unless told; a long document is no error.
csv.field_size_limit(1 << 30)

_QUOTED_CSV_FIELD = re.compile(r'(?:\A|[\r\n,])("(?:[^"]|"")*+)("?)(?=(.?))')
_QUOTED_TSV_FIELD = re.compile(r'"((?:[^"]|"")*)"')

Record = tuple[str, dict[str, object]]
_Cells = tuple[int, int, list[str]]


def read_csv(path: Path, encoding: str) -> Iterator[Record]:
    """Provenance and fields of each record of a comma-separated file with a header.

    Args:
        path: the file.
        encoding: a Python codec name.

    Returns:
        An iterator of (`file:line`, fields), the line being where the record starts.

    Raises:
        InputError: while reading: no rows, a broken quote, too many or too few fields, column
            names that stand twice.
    """
    return _read(path, encoding, _csv_cells)


def read_tsv(path: Path, encoding: str) -> Iterator[Record]:
    """The same for a tab-separated file."""
    return _read(path, encoding, _tsv_cells)


def _read(
    path: Path,
    encoding: str,
    cells_of: Callable[[str, Iterator[tuple[int, str]]], Iterator[_Cells]],
) -> Iterator[Record]:
    records = cells_of(path.name, read_lines(path, encoding))
    first = next(records, None)
    if first is None:
        raise InputError(
            f"{path.name} is empty", "the first line names the columns, then one row a line"
        )
    header = _checked_header(path.name, first)
    num_rows = 0
    for start, end, cells in records:
        if len(cells) != len(header):
            raise _wrong_count(f"{path.name}:{start}", cells, header, end - start + 1)
        num_rows += 1
        yield f"{path.name}:{start}", dict(zip(header, cells, strict=True))
    if not num_rows:
        raise InputError(
            f"{path.name}:{first[0]}: only a header ({some_of(header)}) and no row below it",
            "add rows, or name another file in collect.source.file",
        )


class _RecordLines:
    """Feeds lines to `csv.reader` and remembers those of the record at hand."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self.kept: list[tuple[int, str]] = []

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.kept.append(line)
            yield line[1]


def _csv_cells(name: str, numbered: Iterator[tuple[int, str]]) -> Iterator[_Cells]:
    lines = _RecordLines(numbered)
    reader = csv.reader(iter(lines), strict=True)
    while True:
        lines.kept.clear()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _broken_record(name, lines.kept, str(error)) from None
        if cells is None:
            return
        if cells:
            yield lines.kept[0][0], lines.kept[-1][0], cells


def _tsv_cells(name: str, numbered: Iterator[tuple[int, str]]) -> Iterator[_Cells]:
    del name
    for number, text in numbered:
        line = text.rstrip("\r\n")
        if line:
            yield number, number, [_unquoted(cell) for cell in line.split("\t")]


def _unquoted(cell: str) -> str:
    found = _QUOTED_TSV_FIELD.fullmatch(cell)
    return found[1].replace('""', '"') if found else cell


def _broken_record(name: str, kept: list[tuple[int, str]], reason: str) -> InputError:
    start, text = kept[0][0], "".join(line for _, line in kept)
    for found in _QUOTED_CSV_FIELD.finditer(text):
        closes, after = found[2], found[3]
        if closes and after in ("", ",", "\r", "\n"):
            continue
        line = start + text.count("\n", 0, found.start(1))
        what = "is followed by more text" if closes else "never closes"
        return InputError(
            f"{name}:{line}: the quote that opens here {what}",
            'close it, and double every quote inside a quoted cell: "he said ""no"""',
        )
    return InputError(
        f"{name}:{start}: not a CSV record: {reason}",
        "line ends must be \\n or \\r\\n, and a cell with a line break stands in quotes",
    )


def _checked_header(name: str, first: _Cells) -> list[str]:
    line, _, header = first
    twice = [column for column, count in Counter(header).items() if count > 1]
    if twice:
        places = [str(at) for at, column in enumerate(header, 1) if column == twice[0]]
        raise InputError(
            f"{name}:{line}: the column {twice[0]!r} stands {len(places)} times in the header "
            f"(columns {', '.join(places)})",
            "give every column a name of its own",
        )
    for separator, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and separator in header[0]:
            raise InputError(
                f"{name}:{line}: the header is one column, {header[0]!r}; its names look "
                f"separated by {word}",
                "collect.source.format: tsv reads tabs; save other files with commas",
            )
    return header


def _wrong_count(where: str, cells: list[str], header: list[str], num_lines: int) -> InputError:
    message = (
        f"{where}: {len(cells)} field{'s' * (len(cells) != 1)}, "
        f"but the header has {len(header)} ({some_of(header)})"
    )
    if num_lines > 1:
        return InputError(
            f"{message}; the record runs over {num_lines} lines",
            "look for a quote that was opened and not closed",
        )
    if len(cells) > len(header):
        return InputError(message, "put a cell that holds the separator in quotes")
    return InputError(message, "an empty cell still needs its separator")
