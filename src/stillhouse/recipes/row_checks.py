"""The steps that look at rows and change none: `require` and `report_duplicates`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stillhouse.recipes.row_step import Step

DUPLICATES = ("exact_duplicates", "same_question", "same_answer")
"""What `report_duplicates` tells apart."""

FieldType = Literal["text", "integer", "number", "boolean", "list", "object", "any"]


class Require(Step):
    """Drop the rows that lack a field, or in which it is empty or of another type.

    Null and blank text are empty. A text that says a number, `true` or `false` counts as one,
    because CSV holds nothing but texts.

    Attributes:
        fields: field (`a.b` reaches inside) to its type: text, integer, number, boolean, list,
            object, any.
        may_be_empty: those of the fields that a row may lack or leave empty.
    """

    name: Literal["require"] = "require"
    fields: Annotated[dict[str, FieldType], Field(min_length=1)]
    may_be_empty: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _empty_ones_are_among_them(self) -> Self:
        if unknown := [name for name in self.may_be_empty if name not in self.fields]:
            known = ", ".join(self.fields)
            raise ValueError(f"may_be_empty names {unknown[0]!r}, which is none of fields: {known}")
        return self


class ReportDuplicates(Step):
    """Count the rows that repeat others: same question and answer, or one of the two alone.

    No row is dropped or changed. Texts are compared in their compatibility form (NFKC), without
    regard to upper and lower case, blanks, and punctuation at the end. prepare.csv has a file
    written of each of the three kinds.

    Attributes:
        question: the field.
        answer: the field.
    """

    name: Literal["report_duplicates"] = "report_duplicates"
    question: str = "question"
    answer: str = "answer"

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields that it has nothing to do without."""
        return (self.question, self.answer)
