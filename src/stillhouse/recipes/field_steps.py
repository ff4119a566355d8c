"""Steps that bring rows what they lack: `join`, `annotate` and `rescale`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from stillhouse.recipes.answer_schema import refuse_schema
from stillhouse.recipes.row_step import AskingStep, FieldName, FileStep, Step
from stillhouse.recipes.section import Count
from stillhouse.recipes.step_engine import StepEngine

Fields = (
    Annotated[dict[FieldName, str], Field(min_length=1)]
    | Annotated[tuple[FieldName, ...], Field(min_length=1)]
)
"""Fields of a row and where each stands in a record: under its own name, or at a dotted path."""


def pairs_of(fields: Fields) -> tuple[tuple[str, str], ...]:
    """Names of a row's fields, each with its path in a record."""
    named = fields if isinstance(fields, dict) else {name: name for name in fields}
    return tuple(named.items())


class Join(FileStep):
    """Bring the rows what a file says of them, such as annotations that are there already.

    Two names are the same whatever their case, blanks and Unicode form, and `7`, `7.0` and `"7"`
    are one. A record that names nothing, and two records of one name, are refused.

    Attributes:
        file: JSONL, CSV, ...; relative to the recipe.
        on: fields that together name a row, in the rows and in the file, such as
            `[title, artist]`; `{title: song.name}` where the file calls one otherwise.
        take: fields that a row gets, such as `[analysis]`, or `{analysis: labels.final}`.
        unmatched: what becomes of a row of which the file says nothing; one that is kept stays
            without these fields.
    """

    name: Literal["join"] = "join"
    on: Fields
    take: Fields
    unmatched: Literal["drop", "keep"] = "drop"

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields that it has nothing to do without."""
        return tuple(self.on)

    @property
    def makes(self) -> tuple[str, ...]:
        """Fields that it may add to a row."""
        return tuple(self.take)


class AnnotatingEngine(StepEngine):
    """Who annotates: as the engine of any step, with room for an object.

    Attributes:
        max_new_tokens: of an annotation; one that is cut there is dropped.
    """

    max_new_tokens: Count = 512


class Annotate(AskingStep):
    """Have an engine write an annotation of each row: a JSON object of a form that you declare.

    A provider that can be held to the form is; an answer of another form is sent back once with
    what is wrong with it, and ends its row when the second is no better. A row that has the field
    already, as by `join`, keeps it, and nobody is asked about it.

    Attributes:
        as: the new field.
        fields: what the engine is told of a row; a field that a row lacks, or that is empty, is
            left out. A row that has none of them ends there.
        task: what it is to judge, and by which criteria, in your words.
        answer_schema: the JSON Schema that an annotation fits.
        engine: who annotates.
    """

    name: Literal["annotate"] = "annotate"
    as_: FieldName = Field(default="annotation", alias="as")
    fields: tuple[FieldName, ...] = Field(min_length=1)
    task: str = Field(min_length=1)
    answer_schema: dict[str, Any]
    engine: AnnotatingEngine

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields that it has nothing to do without."""
        return self.fields

    @property
    def makes(self) -> tuple[str, ...]:
        """Fields that it may add to a row."""
        return (self.as_,)

    @property
    def asked(self) -> Mapping[str, StepEngine]:
        """Who annotates."""
        return {"engine": self.engine}

    @property
    def answers_fit(self) -> dict[str, Any]:
        """What an annotation fits."""
        return self.answer_schema

    @field_validator("answer_schema")
    @classmethod
    def _is_a_schema_of_objects(cls, schema: dict[str, Any]) -> dict[str, Any]:
        refuse_schema(schema)
        if schema.get("type") != "object" or not schema.get("properties"):
            raise ValueError("an annotation is an object: write type: object, and its properties")
        return schema


Scale = Annotated[tuple[float, float], Field(min_length=2, max_length=2)]


class Rescale(Step):
    """Bring a number of each row onto another scale, as you declare it, never as it looks.

    Attributes:
        field: which; `analysis.score` is the score inside an object, or inside its JSON text. A
            number that is a text, as in a CSV file, stays one.
        scale: both ends of the scale on which it is. A number beyond them ends the run: then this
            is not its scale.
        to: both ends of the scale that it is brought onto.
    """

    name: Literal["rescale"] = "rescale"
    field: str
    scale: Scale
    to: Scale = (0.0, 100.0)

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields that it has nothing to do without."""
        return (self.field.partition(".")[0],)

    @model_validator(mode="after")
    def _ends_are_in_order(self) -> Self:
        for key, (low, high) in (("scale", self.scale), ("to", self.to)):
            if low >= high:
                raise ValueError(f"{key} goes from {low:g} to {high:g}; the first must be smaller")
        return self
