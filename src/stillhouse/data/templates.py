"""Text with `{field}` places that a row's values are put into; nothing is ever evaluated."""

from __future__ import annotations

import json
import re
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
        filled = []
        for literal, path in self.pieces:
            filled.append(literal)
            if path is not None:
                filled.append(as_text(value_at(row, path, self.setting)) or "")
        return "".join(filled)

    def is_blank_for(self, row: Row) -> bool:
        """Whether the template has places and the row fills none of them with any text."""
        values = [as_text(value_at(row, path, self.setting)) or "" for path in self.paths]
        return bool(values) and not any(value.strip() for value in values)


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


def as_text(value: Any) -> str | None:
    """A value as it stands in a prompt or an answer.

    Args:
        value: a JSON value.

    Returns:
        Text unchanged, null as None, everything else as compact JSON with its keys in order.
    """
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
