"""The lines of a text file, decoded one by one, so that a bad byte has a line number."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from stillhouse.core.errors import InputError
from stillhouse.data.nearest import did_you_mean

_ENCODINGS = ("utf-8", "latin-1", "cp1252", "utf-16", "ascii", "shift_jis", "gb18030", "big5")
_STARTS = (
    (b"\x1f\x8b", "gzip: unpack it first"),
    (b"PK\x03\x04", "a ZIP archive or an .xlsx table: unpack it, or save the table as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file: save it as CSV"),
    (b"%PDF", "a PDF: take its text out first"),
    (b"PAR1", "Parquet: collect.source.format: parquet"),
    (codecs.BOM_UTF32_LE, "UTF-32: collect.source.encoding: utf-32"),
    (codecs.BOM_UTF32_BE, "UTF-32: collect.source.encoding: utf-32"),
    (codecs.BOM_UTF16_LE, "UTF-16: collect.source.encoding: utf-16"),
    (codecs.BOM_UTF16_BE, "UTF-16: collect.source.encoding: utf-16"),
)
"""First bytes of files that are no text in a usual encoding, and what to do about each."""


def read_lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Each line with its number from 1; line ends are kept, a byte order mark is not.

    Args:
        path: a text file.
        encoding: a Python codec name.

    Yields:
        (line number, text), ended by a line feed except perhaps the last.

    Raises:
        InputError: a byte that the encoding does not have, or a NUL; most often the file is not
            UTF-8.
    """
    is_wide = codec_name(encoding).startswith(("utf-16", "utf-32"))
    lines = _wide_lines(path, encoding) if is_wide else _byte_lines(path, encoding)
    for number, text in enumerate(lines, 1):
        if "\0" in text:
            raise InputError(
                f"{path.name}:{number}: NUL character at column {text.index(chr(0)) + 1}",
                _starts_like(path)
                or "this is not a text file, or it is UTF-16: collect.source.encoding: utf-16",
            )
        yield number, text.removeprefix("\ufeff") if number == 1 else text


def _starts_like(path: Path) -> str:
    with path.open("rb") as stream:
        return _hint_of(stream.read(4))


def _hint_of(raw: bytes) -> str:
    found = next((what for start, what in _STARTS if raw.startswith(start)), "")
    return f"the file starts like {found}" if found else ""


def _byte_lines(path: Path, encoding: str) -> Iterator[str]:
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, 1):
            yield decode(raw, encoding, path.name, number)


def _wide_lines(path: Path, encoding: str) -> Iterator[str]:
    number = 0
    with path.open(encoding=encoding, newline="\n") as stream:
        try:
            for number, text in enumerate(stream, 1):  # noqa: B007
                yield text
        except UnicodeError as error:
            raise InputError(
                f"{path.name}:{number + 1}: not {encoding} from here on ({error})",
                "say which encoding it is: collect.source.encoding",
            ) from None


def decode(raw: bytes, encoding: str, name: str, first_line: int = 1) -> str:
    """The text of `raw`.

    Args:
        raw: bytes of one line or of a whole file.
        encoding: a Python codec name that exists.
        name: the file's name, for the message.
        first_line: the line that `raw` starts on.

    Returns:
        The decoded text.

    Raises:
        InputError: a byte that the encoding does not have, with its line, column and value.
    """
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = first_line + raw.count(b"\n", 0, error.start)
        column = error.start - raw.rfind(b"\n", 0, error.start)
        usual = "collect.source.encoding: latin-1 (or cp1252 for a file from Windows)"
        hint = _hint_of(raw) or usual
        raise InputError(
            f"{name}:{line}: byte 0x{raw[error.start]:02X} at byte {column} of the line "
            f"is not {encoding}",
            hint,
        ) from None


def codec_name(encoding: str) -> str:
    """The codec's own name.

    Args:
        encoding: as the recipe writes it.

    Returns:
        Lower case, such as `utf-8`.

    Raises:
        InputError: Python has no such codec.
    """
    # base64, rot13 and their kin are codecs too, and none of them makes text of bytes.
    with suppress(LookupError, UnicodeError):
        "a".encode(encoding)
        return codecs.lookup(encoding).name
    raise InputError(
        f'collect.source.encoding is "{encoding}", which is no encoding of text'
        f"{did_you_mean(encoding, _ENCODINGS)}",
        f"for example {', '.join(_ENCODINGS)}",
    )
