"""The step that ends rows whose fields are not what the recipe says they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stillhouse.core.rows import Drop, Keep, Outcome, Row
from stillhouse.data.paths import MISSING, find
from stillhouse.recipes.row_checks import Require

_INTEGER = re.compile(r"\s*[+-]?\d+\s*")
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")
_MOST_SHOWN = 80


def _is_integer(value: object) -> bool:
    if isinstance(value, str):
        return bool(_INTEGER.fullmatch(value))
    # JSON may hold a whole number that no float can.
    return _is_number(value) and (isinstance(value, int) or float(value).is_integer())  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return bool(_NUMBER.fullmatch(value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_boolean(value: object) -> bool:
    return isinstance(value, bool) or str(value).strip().lower() in ("true", "false")


_IS_OF: dict[str, Callable[[object], bool]] = {
    "text": lambda value: isinstance(value, str),
    "integer": _is_integer,
    "number": _is_number,
    "boolean": _is_boolean,
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "any": lambda value: value is not None,
}


@dataclass(frozen=True, slots=True)
class RequireStep:
    """Ends the rows in which a field is missing, empty or of another type."""

    wanted: Require
    name: str = "require"
    version: int = 1
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep the rows whose fields are as they should be; the first that is not is named."""
        return [self._judge(row) for row in batch]

    def _judge(self, row: Row) -> Outcome:
        for field, kind in self.wanted.fields.items():
            value = find(row.fields, field)
            if value in (None, MISSING) or (isinstance(value, str) and not value.strip()):
                if field in self.wanted.may_be_empty:
                    continue
                how = "missing" if value is MISSING else "empty"
                return Drop(row, f"{field} is {how}")
            if not _IS_OF[kind](value):
                return Drop(row, f"{field} is no {kind}", repr(value)[:_MOST_SHOWN])
        return Keep(row)
