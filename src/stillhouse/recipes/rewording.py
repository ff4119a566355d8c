"""The steps that have texts of the rows written in other words: `rephrase` and `augment`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stillhouse.recipes.encoders import Encoder
from stillhouse.recipes.row_step import AskingStep, FieldName
from stillhouse.recipes.section import Count, Seed
from stillhouse.recipes.step_engine import StepEngine

Tone = Literal["formal", "casual", "general"]

REWORDED_FROM = "reworded_from"
"""The field of a row that asked what another asks before it was written in other words: the root of
that other row."""


class Rephrase(AskingStep):
    """Have the questions written in other words that several rows ask with different answers.

    So too the longer answers that several questions share. The first row of each keeps its words;
    a text that loses a number, a name or the meaning is not taken. Rows that asked the same stay in
    one part of the split. A row that repeats both question and answer is merged.

    Attributes:
        question: the field.
        answer: the field.
        same: what is looked for: rows of the same question, of the same answer, or both.
        answer_words: fewest words of an answer that is written anew.
        engines: asked in turn: each is asked about what those before it could not do.
        by: a model of sentence-transformers that compares meanings; by words alone without one.
    """

    name: Literal["rephrase"] = "rephrase"
    question: FieldName = "question"
    answer: FieldName = "answer"
    same: tuple[Literal["question", "answer"], ...] = ("question", "answer")
    answer_words: Count = 5
    engines: Annotated[tuple[StepEngine, ...], Field(min_length=1)]
    by: Encoder | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields that it has nothing to do without."""
        return (self.question, self.answer)

    @property
    def makes(self) -> tuple[str, ...]:
        """Fields that it may add to a row."""
        return (REWORDED_FROM,)

    @property
    def asked(self) -> Mapping[str, StepEngine]:
        """Who is asked, in turn."""
        return {f"engines.{number}": engine for number, engine in enumerate(self.engines)}


class Augment(AskingStep):
    """Write each training question in other words too, after the split.

    It stands last. Validation and holdout stay as they are; a row and its versions stay together.
    The field `version` says which one a row is. A version that loses a number, a name or the
    meaning, or tells the answer, is dropped with what was said.

    Attributes:
        field: the question.
        answer: the field of the answer, which no version may tell.
        versions: which; `original` is the row itself.
        engines: version to who writes it.
        words_per_typo: of the version `typos`.
        seed: of the typos.
    """

    name: Literal["augment"] = "augment"
    field: FieldName = "question"
    answer: FieldName = "answer"
    versions: tuple[Literal["original", "formal", "casual", "general", "typos"], ...] = (
        "original",
        "typos",
    )
    engines: dict[Tone, StepEngine] = Field(default_factory=dict)
    words_per_typo: Count = 4
    seed: Seed = 0

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields that it has nothing to do without."""
        return (self.field,)

    @property
    def asked(self) -> Mapping[str, StepEngine]:
        """Who is asked, by version."""
        return {f"engines.{version}": engine for version, engine in self.engines.items()}

    @model_validator(mode="after")
    def _versions_have_their_engines(self) -> Self:
        if "original" not in self.versions or len(set(self.versions)) < len(self.versions):
            raise ValueError("versions name original and each other one once")
        written = {version for version in self.versions if version not in ("original", "typos")}
        if lacking := sorted(written - set(self.engines)):
            raise ValueError(f"no engine writes {lacking[0]}: give engines.{lacking[0]}")
        if idle := sorted(set(self.engines) - written):
            raise ValueError(f"engines.{idle[0]} writes nothing: add {idle[0]} to versions")
        return self
