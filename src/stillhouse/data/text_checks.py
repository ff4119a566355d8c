"""Steps that look into a row's texts: is it whole, whose data is in it, may it be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from stillhouse.core.rows import Drop, Keep, Outcome, Row
from stillhouse.data.instructions import find_orders
from stillhouse.data.paths import MISSING, find
from stillhouse.data.personal import scrub
from stillhouse.data.row_texts import change_texts, texts_of
from stillhouse.data.style_references import find_style_references
from stillhouse.recipes.text_steps import (
    DropStyleReferences,
    FindInstructions,
    RequireFields,
    ScrubPersonal,
)

_MOST_EVIDENCE = 80
_KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "true_or_false": (bool,),
    "list": (list,),
    "object": (dict,),
    "any": (object,),
}


@dataclass(frozen=True, slots=True)
class RequireStep:
    """Ends the rows that lack a field, or hold something else in it."""

    wanted: RequireFields
    name: str = "require_fields"
    version: int = 1
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep the rows that have every field."""
        return [self._judge(row) for row in batch]

    def _judge(self, row: Row) -> Outcome:
        for field, kind in self.wanted.fields.items():
            value = find(row.fields, field)
            fault = _fault(value, kind)
            if fault:
                seen = "" if value is MISSING else repr(value)[:_MOST_EVIDENCE]
                return Drop(row, f"{field} is {fault}", seen)
        return Keep(row)


def _fault(value: Any, kind: str) -> str:
    if value is MISSING:
        return "missing"
    if value is None:
        return "null"
    if isinstance(value, str) and not value.strip():
        return "blank"
    # Python counts true and false among the numbers, JSON does not.
    is_other = isinstance(value, bool) and kind == "number"
    return f"no {kind}" if is_other or not isinstance(value, _KINDS[kind]) else ""


@dataclass(frozen=True, slots=True)
class ScrubStep:
    """Puts placeholders in the place of personal data."""

    wanted: ScrubPersonal
    name: str = "scrub_personal"
    version: int = 1
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep every row; a note says of which kinds something was replaced."""
        return [self._scrub(row) for row in batch]

    def _scrub(self, row: Row) -> Keep:
        kinds = set[str]()

        def change(text: str) -> str:
            scrubbed, replaced = scrub(text, self.wanted.kinds)
            kinds.update(replaced)
            return scrubbed

        fields = change_texts(row.fields, change, self.wanted.fields)
        notes = tuple(f"replaced {kind}" for kind in sorted(kinds))
        return Keep(replace(row, fields=fields), notes) if kinds else Keep(row)


@dataclass(frozen=True, slots=True)
class StyleStep:
    """Ends the rows that describe by somebody's name."""

    wanted: DropStyleReferences
    name: str = "drop_style_references"
    version: int = 1
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep the rows without a style reference."""
        return [self._judge(row) for row in batch]

    def _judge(self, row: Row) -> Outcome:
        for field, text in texts_of(row.fields, self.wanted.fields):
            for one in find_style_references(text):
                around = text[one.start : one.start + _MOST_EVIDENCE]
                return Drop(row, "style reference", f"{field}: {one.phrase}: {around!r}")
        return Keep(row)


@dataclass(frozen=True, slots=True)
class InstructionStep:
    """Notes the rows whose texts give orders to a model, or ends them."""

    wanted: FindInstructions
    name: str = "find_instructions"
    version: int = 1
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep every row as it is, unless the recipe drops those with an order."""
        return [self._judge(row) for row in batch]

    def _judge(self, row: Row) -> Outcome:
        for field, text in texts_of(row.fields, self.wanted.fields):
            for order in find_orders(text):
                if self.wanted.drop:
                    found = order.found[:_MOST_EVIDENCE]
                    return Drop(row, "order to a model", f"{field}: {order.phrase}: {found!r}")
                return Keep(row, (f"order to a model: {order.phrase}",))
        return Keep(row)
