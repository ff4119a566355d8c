"""The step that keeps the runs of people at a browser out of an application's log."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stillhouse.core.rows import Drop, Keep, Outcome, Row
from stillhouse.recipes.production_log import ProductionLog

_ID = re.compile(
    r"([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})"
    r"_(\d{4}-\d{2}-\d{2}|\d{8})",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class DeviceDay:
    """What an id says: a random UUID, and a day as `2026-05-31`."""

    device: str
    day: str


def read_id(text: str) -> DeviceDay | None:
    """The device and the day of an id.

    Args:
        text: such as `0b7c6f0e-8a52-4a8b-9f3e-2f6b5a1c7d10_2026-05-31`.

    Returns:
        None where it is no UUID of version 4 with a day that the calendar has.
    """
    found = _ID.fullmatch(text.strip())
    if found is None:
        return None
    try:
        day = datetime.date.fromisoformat(found[2])
    except ValueError:
        return None
    return DeviceDay(found[1].lower(), day.isoformat())


@dataclass(frozen=True, slots=True)
class LogStep:
    """Ends what is no run of a person; of the others the id becomes device and day."""

    wanted: ProductionLog
    name: str = "log"
    version: int = 1
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep the runs of people; the fields of others are not kept."""
        return [self._judge(row) for row in batch]

    def _judge(self, row: Row) -> Outcome:
        gone = replace(row, fields={})
        for name in (self.wanted.id_field, *self.wanted.exclude_in):
            value = row.fields.get(name)
            said = value.strip().casefold() if isinstance(value, str) else ""
            for start in self.wanted.exclude:
                if said.startswith(start.casefold()):
                    return Drop(gone, f"excluded: {start}*", name)
        value = row.fields.get(self.wanted.id_field)
        if value is None or value == "":
            return Drop(gone, "no id", self.wanted.id_field)
        found = read_id(value) if isinstance(value, str) else None
        if found is None:
            return Drop(gone, "id is no device and day", self.wanted.id_field)
        fields = {key: item for key, item in row.fields.items() if key != self.wanted.id_field}
        named = {self.wanted.device_as: found.device, self.wanted.day_as: found.day}
        return Keep(replace(row, fields=fields | named))
