"""The step that brings a number of each row onto another scale."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Keep, Outcome, Row
from stillhouse.data.paths import find, put
from stillhouse.recipes.field_steps import Rescale

_MOST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class RescaleStep:
    """Brings one number of each row onto another scale."""

    wanted: Rescale
    name: str = "rescale"
    version: int = 2
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep every row; a note counts those without such a number."""
        return [self._rescaled(row) for row in batch]

    def _rescaled(self, row: Row) -> Keep:
        top = self.wanted.field.partition(".")[0]
        is_text = isinstance(row.fields.get(top), str)
        fields = row.fields | {top: _read(row.fields[top])} if is_text else row.fields
        value = find(fields, self.wanted.field)
        if not _is_number(value):
            return Keep(row, (f"no number at {self.wanted.field}",))
        fields = put(fields, self.wanted.field, self._convert(row, value))
        if is_text:
            fields = fields | {top: json.dumps(fields[top], ensure_ascii=False)}
        return Keep(replace(row, fields=fields))

    def _convert(self, row: Row, value: float) -> int | float:
        low, high = self.wanted.scale
        if not low <= value <= high:
            raise InputError(
                f"{row.provenance}: {self.wanted.field} is {_shown(value)}, and the step rescale "
                f"says that it goes from {low:g} to {high:g}",
                "declare the scale that the numbers have; rows of another one need a file and a "
                "recipe of their own",
            )
        start, end = map(_exact, self.wanted.to)
        # As decimal fractions: 0.57 of 100 is 57, which the product of floats is not.
        share = (_exact(value) - _exact(low)) / (_exact(high) - _exact(low))
        found = start + share * (end - start)
        return int(found) if found.denominator == 1 else float(found)


def _is_number(value: Any) -> bool:
    """A gap in a table's column of numbers is NaN."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and (isinstance(value, int) or not math.isnan(value))


def _shown(value: float) -> str:
    """A number for a message; JSON may hold a whole one that no float can."""
    return f"{value:g}" if isinstance(value, float) else f"{value}"[:_MOST_SHOWN]


def _exact(value: float) -> Fraction:
    return Fraction(repr(value))


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
