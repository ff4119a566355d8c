"""What a step tells of the rows that go on, beyond their count: tables of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

from stillhouse.core.rows import Row
from stillhouse.data.account import Step

Tables = dict[str, Mapping[str, int | float]]
"""Title to names with their numbers."""


@runtime_checkable
class TellingStep(Step, Protocol):
    """A step that looks at the rows that go on once more, when all of them are known."""

    def tell(self, rows: Iterable[Row]) -> Tables:
        """The tables; raises `InputError` where the rows are not as the recipe wants them."""
