"""Text with `{field}` places that a row's values are put into; nothing is ever evaluated."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from string import Formatter
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Row
from stillhouse.data.paths import value_at

_INDEX = re.compile(r"\[([^\[\]]*)\]")
_BRACES_HINT = "a place is {field}, {field.inner} or {field[0]}; write a literal brace twice: {{ }}"


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text: literal pieces, each followed by a place's path or by nothing.

    Attributes:
        setting: the recipe's key, for messages.
        pieces: (literal text, dotted path or None).
    """

    setting: str
    pieces: tuple[tuple[str, str | None], ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """The dotted paths of the places, in order."""
        return tuple(path for _, path in self.pieces if path is not None)

    def fill(self, row: Row) -> str:
        """The text with the row's values in its places.

        Args:
            row: a row that has every field the template names.

        Returns:
            The text; null becomes nothing, objects and lists become compact JSON.

        Raises:
            InputError: a place names a field that the row does not have.
        """
        return "".join(self._filled(row))

    def _filled(self, row: Row) -> Iterator[str]:
        """The literal before each place and what stands in it, in turn."""
        for literal, path in self.pieces:
            yield literal
            yield "" if path is None else as_text(value_at(row, path, self.setting)) or ""

    def place_in(self, row: Row, path: str) -> tuple[int, int]:
        """From where to where a field stands in the filled text, the first time."""
        before = 0
        texts = self._filled(row)
        for (_, own), literal, value in zip(self.pieces, texts, texts, strict=True):
            before += len(literal)
            if own == path:
                break
            before += len(value)
        return before, before + len(value)

    def own_text(self, row: Row) -> str:
        """What the row put into the places, a line each."""
        values = (as_text(value_at(row, path, self.setting)) for path in self.paths)
        return "\n".join(value for value in values if value)


def parse_template(text: str, setting: str) -> Template:
    """The parsed template.

    Args:
        text: with `{field}` places and doubled literal braces.
        setting: the recipe's key, for messages.

    Returns:
        A template that knows its places.

    Raises:
        InputError: a single brace, an empty place, or a conversion or format such as `{x:>8}`.
    """
    try:
        parsed = list(Formatter().parse(text))
    except ValueError as error:
        raise InputError(f"{setting}: {error}", _BRACES_HINT) from None
    pieces = []
    for literal, field, form, conversion in parsed:
        if field is not None and (form or conversion or not field.strip()):
            shown = (
                f"{{{field}{'!' + conversion if conversion else ''}{':' + form if form else ''}}}"
            )
            raise InputError(f"{setting}: {shown} is not a place for a field", _BRACES_HINT)
        path = None if field is None else _INDEX.sub(r".\1", field)
        pieces.append((literal, path))
    return Template(setting, tuple(pieces))


def as_text(value: Any, indent: int | None = None) -> str | None:
    """A value as it stands in a prompt or an answer.

    Args:
        value: a JSON value.
        indent: blanks of each level of an object or list; None writes them without any.

    Returns:
        Text unchanged, null as None, everything else as JSON with its keys in order.
    """
    if value is None or isinstance(value, str):
        return value
    if indent is not None:
        return json.dumps(value, ensure_ascii=False, indent=indent)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
