"""The step that keeps one of the rows that say nearly the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stillhouse.core.rows import Keep, Merge, Outcome, Row
from stillhouse.data.near_duplicates import Alike, Shingled, find_alike, join, shingle
from stillhouse.recipes.data_steps import MergeNearDuplicates


@dataclass(frozen=True, slots=True)
class MergeStep:
    """Merges rows into the one of the smallest id that says nearly the same."""

    wanted: MergeNearDuplicates
    name: str = "merge_near_duplicates"
    version: int = 1
    kind: str = "global"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep one row of each kind."""
        return self.settle(batch, self.decide([self.look(batch)]))

    def look(self, batch: Sequence[Row]) -> Shingled:
        """The word groups of each row that has the field."""
        texts = {row.row_id: row.fields.get(self.wanted.on) for row in batch}
        said = {name: text for name, text in texts.items() if isinstance(text, str) and text}
        return shingle([*said], [*said.values()], self.wanted.group_words)

    def decide(self, looks: Sequence[Shingled]) -> dict[str, Alike]:
        """Which rows another stands for."""
        return find_alike(join(looks), self.wanted.threshold)

    def settle(self, batch: Sequence[Row], decision: Mapping[str, Alike]) -> list[Outcome]:
        """Keep every row that no other stands for."""
        found = [(row, decision.get(row.row_id)) for row in batch]
        return [
            Merge(row, alike.kept, f"{alike.overlap:.2f} of the word groups shared")
            if alike
            else Keep(row)
            for row, alike in found
        ]
