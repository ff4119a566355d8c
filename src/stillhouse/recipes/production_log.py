"""Rows of an application's own log: the section `collect.log`."""

from __future__ import annotations

from stillhouse.recipes.row_step import FieldName
from stillhouse.recipes.section import Section


class ProductionLog(Section):
    """Keep the runs of people at a browser, out of a log that holds others too.

    Such a run has an id of a random UUID and a day, as
    `0b7c6f0e-8a52-4a8b-9f3e-2f6b5a1c7d10_2026-05-31`; the day may be written `20260531`.

    Attributes:
        id_field: the column with that id; in its place stand `device_as` and `day_as`.
        device_as: the field that gets the UUID, to be hashed by `collect.rights.hash_fields`.
        day_as: the field that gets the day.
        exclude: beginnings of ids that are left out, each with a count of its own.
        exclude_in: other columns whose value must not begin so either.
    """

    id_field: str = "device_id"
    device_as: FieldName = "device"
    day_as: FieldName = "day"
    exclude: tuple[str, ...] = ("dev_", "api_", "canvas_")
    exclude_in: tuple[str, ...] = ()
