"""Where the value of one field stands in the text of a JSON object, so that it alone is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator

_BLANK = " \t\n\r"
_DECODER = json.JSONDecoder()


def value_span(text: str, name: str) -> tuple[int, int] | None:
    """The characters of a field's value; of a name that stands twice, those that a reader takes.

    Args:
        text: the object, as it was written.
        name: of a field of the object itself, not of one inside.

    Returns:
        Half-open; None where the text is no object with such a field.
    """
    try:
        found = [span for key, span in _fields(text) if key == name]
    except (ValueError, IndexError, RecursionError):
        return None
    return found[-1] if found else None


def _fields(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Each field with the span of its value; raises ValueError or IndexError for no object."""
    place = _after_blanks(text, 0)
    _require(text, place, "{")
    place = _after_blanks(text, place + 1)
    while text[place] != "}":
        key, place = _DECODER.raw_decode(text, place)
        place = _after_blanks(text, place)
        _require(text, place, ":")
        start = _after_blanks(text, place + 1)
        _, place = _DECODER.raw_decode(text, start)
        yield str(key), (start, place)
        place = _after_blanks(text, place)
        if text[place] == ",":
            place = _after_blanks(text, place + 1)
            _require(text, place, '"')
        else:
            _require(text, place, "}")
    if text[place + 1 :].strip(_BLANK):
        raise ValueError("more than one object")


def _after_blanks(text: str, place: int) -> int:
    while text[place] in _BLANK:
        place += 1
    return place


def _require(text: str, place: int, wanted: str) -> None:
    if text[place] != wanted:
        raise ValueError(f"{wanted} is missing at {place}")
