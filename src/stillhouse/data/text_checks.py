"""Steps that look into a row's texts: whose data is in it, may it be used, does it give orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stillhouse.core.rows import Drop, Keep, Outcome, Row
from stillhouse.data.instructions import find_orders
from stillhouse.data.personal import scrub
from stillhouse.data.row_texts import change_texts, texts_of
from stillhouse.data.style_references import find_style_references
from stillhouse.recipes.text_steps import (
    DropStyleReferences,
    FindInstructions,
    ScrubPersonal,
)

_MOST_EVIDENCE = 80


@dataclass(frozen=True, slots=True)
class ScrubStep:
    """Puts placeholders in the place of personal data."""

    wanted: ScrubPersonal
    name: str = "scrub_personal"
    version: int = 2
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
