"""Which of the recipe's domains a row belongs to; a row of none ends here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stillhouse.core.rows import Drop, Keep, Outcome, Row
from stillhouse.data.nearest import did_you_mean
from stillhouse.data.paths import MISSING, find

UNKNOWN = "unknown domain"
"""Why a row ends whose domain the recipe does not name."""


@dataclass(frozen=True, slots=True)
class DomainStep:
    """Ends rows that belong to none of the domains.

    Attributes:
        field: of the rows, dotted.
        names: of the recipe's domains.
    """

    field: str
    names: tuple[str, ...]
    name: str = "domains"
    version: int = 1
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep each row of a known domain."""
        return [self._judge(row) for row in batch]

    def _judge(self, row: Row) -> Outcome:
        found = domain_of(row, self.field)
        if found in self.names:
            return Keep(row)
        if not found:
            return Drop(row, "no domain", f"{self.field} is empty or missing")
        return Drop(row, UNKNOWN, f"{found!r}{did_you_mean(found, self.names)}")


def domain_of(row: Row, field: str) -> str:
    """What a row says in the field of its domain; empty where it says nothing."""
    found = find(row.fields, field)
    return "" if found is MISSING or found is None else str(found).strip()
