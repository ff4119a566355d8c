"""The step that writes a transformation of each paired prompt by rule, without any model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stillhouse.core.errors import InputError
from stillhouse.core.hashing import digest_text
from stillhouse.core.rows import Keep, Outcome, Row
from stillhouse.data.style_references import has_style_reference
from stillhouse.recipes.prompt_steps import TransformByRule
from stillhouse.tasks.prompts.contexts import own_contexts
from stillhouse.tasks.prompts.rules import transform

LAPSE = "keeps its prompt's style reference"


@dataclass(frozen=True, slots=True)
class TransformStep:
    """Writes what the rules say.

    Attributes:
        wanted: the settings.
    """

    wanted: TransformByRule
    name: str = "transform_by_rule"
    version: int = 1
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep every row with its transformation; notes those that lapse."""
        return [self._write(row) for row in batch]

    def _write(self, row: Row) -> Keep:
        wanted, known = self.wanted, own_contexts()
        prompt, named = str(row.fields[wanted.prompt]), row.fields.get(f"{wanted.context}_id")
        if named not in known:
            raise InputError(
                f"{row.provenance}: {wanted.context}_id is {named!r}, a context that "
                "transform_by_rule has no sentences of",
                "pair with a set that comes with Stillhouse, or let a teacher write",
            )
        text = transform(prompt, known[named], wanted.seed)
        does_lapse = has_style_reference(prompt) and self._draw(row.row_id) < wanted.lapses
        if does_lapse:
            first, _, rest = text.partition(". ")
            # The prompt as it was, in the place of its own words without the reference.
            text = f"{prompt.rstrip('.')}. {rest or first}"
        made = replace(row, fields=row.fields | {wanted.as_: text})
        return Keep(made, (LAPSE,) if does_lapse else ())

    def _draw(self, row_id: str) -> float:
        return int(digest_text(f"lapse {self.wanted.seed}\n{row_id}")[:12], 16) / 16**12
