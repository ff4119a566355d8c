"""The step that counts which traditions and which unexpected pairs the rows hold."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from stillhouse.recipes.row_step import Step
from stillhouse.recipes.section import Fraction, Section

Words = Annotated[tuple[str, ...], Field(min_length=1)]


class Pair(Section):
    """A general word together with what is not taken for granted beside it.

    Attributes:
        says: words of which a row holds one, such as `landscape*`.
        beside: words of which it holds one too, such as `savanna*`.
        without: words of which it holds none, such as `alps`.
    """

    says: Words
    beside: Words
    without: tuple[str, ...] = ()


class Coverage(Step):
    """Count the traditions of the rows, and the pairs that do without what is usual.

    A row is of the tradition that its field names; without a field, of every tradition whose words
    its texts hold. `*` at the end of a word stands for any ending. A limit that the rows do not
    keep ends the run.

    Attributes:
        fields: the texts that are looked at.
        tradition_field: the field that names a row's tradition, where there is one.
        traditions: name to words; the fifteen that come with Stillhouse when empty.
        pairs: name to words; the three that come with Stillhouse when empty.
        traditions_at_least: how many traditions must have a row.
        rows_at_least: rows that each tradition must have.
        ratio_at_least: rows of the tradition with fewest, over those of the one with most.
        pairs_at_least: rows that each pair must have.
    """

    name: Literal["coverage"] = "coverage"
    reaches_inside: ClassVar[bool] = True
    fields: tuple[str, ...] = Field(default=("prompt",), min_length=1)
    tradition_field: str | None = None
    traditions: dict[str, Words] = Field(default_factory=dict)
    pairs: dict[str, Pair] = Field(default_factory=dict)
    traditions_at_least: int = Field(default=0, ge=0)
    rows_at_least: int = Field(default=0, ge=0)
    ratio_at_least: Fraction = 0.0
    pairs_at_least: int = Field(default=0, ge=0)

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields that it has nothing to do without."""
        return (*self.fields, *([self.tradition_field] if self.tradition_field else []))
