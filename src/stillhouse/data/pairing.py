"""The sampler: each prompt with several settings, balanced so that all are used equally often.

Which settings a row gets depends on the rows' ids and the seed, never on their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.core.hashing import digest_text, digest_value
from stillhouse.core.rows import Emit, Outcome, Row
from stillhouse.data.plain_values import plain_text
from stillhouse.recipes.data_steps import PairWith

_ID_LENGTH, _DIGITS = 20, 12


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that prompts are paired with.

    Attributes:
        name: its id, which stands beside each row that it was paired with.
        value: what the row's new field holds.
        type: what kind of thing it is; empty where nobody says.
        source: what it comes from, by name, version and digest, or by digest alone.
    """

    name: str
    value: Any
    type: str = ""
    source: str = ""


def settings_of(records: Sequence[Mapping[str, Any]], source: str) -> list[Setting]:
    """The settings of a file's records.

    Args:
        records: with a field `text`, or else taken whole; `id` names one, else its digest does.
        source: the file, for errors.

    Returns:
        In their order.

    Raises:
        InputError: none, or two of one name.
    """
    found = []
    for record in records:
        rest = {key: value for key, value in record.items() if key != "id"}
        value = rest["text"] if rest.keys() == {"text"} else rest
        found.append(Setting(plain_text(record.get("id")) or digest_text(str(rest))[:8], value))
    names = Counter(setting.name for setting in found)
    twice = next((name for name, times in names.items() if times > 1), None)
    if twice is not None:
        raise InputError(f"{source}: two settings have the id {twice!r}", "give each its own")
    if not found:
        raise InputError(f"{source} holds no setting", "write one a line")
    digest = digest_value([[setting.name, setting.value] for setting in found])[:_DIGITS]
    return [replace(setting, source=f"#{digest}") for setting in found]


@dataclass(frozen=True, slots=True)
class PairStep:
    """Makes several rows of each, every one with another setting."""

    wanted: PairWith
    settings: Sequence[Setting]
    name: str = "pair_with"
    version: int = 2
    kind: str = "global"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Emit a row for each setting that a row gets."""
        return self.settle(batch, self.decide([self.look(batch)]))

    def look(self, batch: Sequence[Row]) -> list[str]:
        """The ids of the rows.

        Args:
            batch: any.

        Returns:
            In their order.

        Raises:
            InputError: the new field is there already.
        """
        taken = next((row for row in batch if self.wanted.as_ in row.fields), None)
        if taken is not None:
            raise InputError(
                f"{taken.provenance} has a field {self.wanted.as_!r} already, which pair_with "
                "would overwrite",
                "give the step another name under `as`",
            )
        return [row.row_id for row in batch]

    def decide(self, looks: Sequence[list[str]]) -> dict[str, list[int]]:
        """Which settings each row gets."""
        bounds = (self.wanted.at_least, self.wanted.at_most)
        row_ids = [row_id for ids in looks for row_id in ids]
        return choose(row_ids, len(self.settings), bounds, self.wanted.seed)

    def settle(self, batch: Sequence[Row], decision: dict[str, list[int]]) -> list[Outcome]:
        """Emit a row for each setting that a row gets."""
        return [Emit(row, tuple(self._pairs(row, decision[row.row_id]))) for row in batch]

    def _pairs(self, row: Row, places: Sequence[int]) -> list[Row]:
        field = self.wanted.as_
        made = []
        for setting in (self.settings[place] for place in places):
            told = {f"{field}_type": setting.type, f"{field}_set": setting.source}
            fields = row.fields | {field: setting.value, f"{field}_id": setting.name}
            fields |= {name: value for name, value in told.items() if value}
            made.append(
                replace(
                    row,
                    row_id=digest_text(f"{row.row_id}\n{field}\n{setting.name}")[:_ID_LENGTH],
                    fields=fields,
                    root_id=row.root_id or row.row_id,
                    parent_ids=(row.row_id,),
                )
            )
        return made


def choose(
    row_ids: Sequence[str], num_settings: int, bounds: tuple[int, int], seed: int
) -> dict[str, list[int]]:
    """Which settings each row gets: distinct ones, each setting about equally often.

    Args:
        row_ids: distinct names.
        num_settings: how many there are; at least the lower bound.
        bounds: fewest and most settings of a row; every number between is equally likely.
        seed: another seed chooses otherwise.

    Returns:
        Row id to places of settings, ascending. No setting is used twice more than another.

    Raises:
        InputError: fewer settings than each row needs.
    """
    fewest, most = bounds
    if num_settings < fewest:
        raise InputError(
            f"each prompt needs {fewest} settings, there are {num_settings}",
            "add settings, or lower at_least",
        )
    used = [0] * num_settings
    found: dict[str, list[int]] = {}
    for row_id in sorted(row_ids, key=lambda name: digest_text(f"{seed}\n{name}")):
        draw = int(digest_text(f"{seed}\nhow many\n{row_id}")[:12], 16)
        count = min(num_settings, fewest + draw % (most - fewest + 1))
        chances = [digest_text(f"{seed}\n{row_id}\n{place}") for place in range(num_settings)]
        order = sorted(range(num_settings), key=lambda place: (used[place], chances[place]))
        found[row_id] = sorted(order[:count])
        for place in found[row_id]:
            used[place] += 1
    return found
