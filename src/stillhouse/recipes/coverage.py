"""The step that counts which traditions and which unexpected pairs the rows hold."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stillhouse.recipes.row_step import Step
from stillhouse.recipes.section import Count, Fraction, Positive


class Coverage(Step):
    """Count the traditions of the rows, and the pairs that do without what is usual.

    A row is of every tradition that its field names; without a field, of every tradition whose
    words its texts hold. All rules are of the rows that are there when the step is done; a rule
    that is not kept ends the run.

    Attributes:
        fields: the texts that are looked at.
        tradition_field: the field that names the tradition, where there is one.
        file: YAML with traditions and pairs; those that come with Stillhouse when absent.
        traditions_at_least: how many of them must be there.
        rows_at_least: rows of each tradition that must be there.
        ratio_at_least: rows of the tradition with fewest over those of the one with most, all of
            the file counted.
        share_at_most: of the rows of a tradition, none may have more.
        pairs_at_least: rows of each pair that does without what is usual.
    """

    name: Literal["coverage"] = "coverage"
    fields: tuple[str, ...] = ("prompt",)
    tradition_field: str | None = None
    file: str | None = None
    traditions_at_least: int = Field(default=0, ge=0)
    rows_at_least: int = Field(default=0, ge=0)
    ratio_at_least: Fraction = 0.0
    share_at_most: Positive | None = None
    pairs_at_least: Count | None = None
