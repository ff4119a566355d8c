"""The steps that `prepare.steps` can name, with their settings: one class a name."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from stillhouse.recipes.annotations import CheckAnnotations
from stillhouse.recipes.coverage import Coverage
from stillhouse.recipes.encoders import Encoder
from stillhouse.recipes.field_steps import Annotate, Join, Rescale
from stillhouse.recipes.meaning_steps import DropOutliers, MergeSemanticDuplicates
from stillhouse.recipes.prompt_steps import TransformByRule, Translate, WritePrompts
from stillhouse.recipes.rewording import Augment, Rephrase
from stillhouse.recipes.row_checks import ReportDuplicates, Require
from stillhouse.recipes.row_step import FieldName, MayAsk, Step
from stillhouse.recipes.section import Count, Seed
from stillhouse.recipes.text_steps import (
    Decontaminate,
    DropStyleReferences,
    FindInstructions,
    ScrubPersonal,
)


class PairWith(Step):
    """Pair each prompt with several settings, so that one prompt gives several examples.

    Attributes:
        set: contexts that come with Stillhouse: `ways` of looking, `traditions` as equals, or
            `pedagogical`, which holds both and one that gives nothing.
        file: in place of a set, JSONL, CSV, ...: one setting a row, its field `id` its name and
            `text` its text.
        as: the new field, for prepare.system and prepare.user. Beside it `NAME_id` says which it
            is, `NAME_set` what it comes from, with a digest, and `NAME_type` its kind, in a set.
        at_least: settings of a prompt.
        at_most: settings of a prompt.
        seed: another seed pairs otherwise.
    """

    name: Literal["pair_with"] = "pair_with"
    set: str | None = None
    file: str | None = None
    as_: FieldName = Field(alias="as")
    at_least: Count = 1
    at_most: Count = 1
    seed: Seed = 0

    @property
    def makes(self) -> tuple[str, ...]:
        """Fields that it may add to a row."""
        return tuple(f"{self.as_}{of}" for of in ("", "_id", "_set", "_type"))

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.set is None) == (self.file is None):
            raise ValueError("pair_with takes either a set or a file, one of the two")
        return self

    def identity(self) -> dict[str, Any]:
        """What the result depends on; the settings of the file stand beside it."""
        return super().identity() | ({} if self.file is None else {"file": ""})

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        if self.at_most < self.at_least:
            raise ValueError(f"at_most {self.at_most} is less than at_least {self.at_least}")
        return self


class DropWhere(Step):
    """Drop the rows in which a field says something.

    Attributes:
        field: which; a row that lacks it is kept.
        equals: its value, or several; upper and lower case and blanks around it do not matter.
    """

    name: Literal["drop_where"] = "drop_where"
    field: str
    equals: str | int | float | bool | tuple[str | int | float | bool, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields that it has nothing to do without."""
        return (self.field,)


class ConvertBlanks(MayAsk):
    """Make a question of each text with a blank to fill in (`Assets are ____.`).

    By rule: the blank becomes a question word, every other word stays. An engine's question is
    taken if it keeps numbers, names and meaning and does not tell the answer; else the rule's.

    Attributes:
        question: the field with the text.
        answer: the field with what fills the blank.
    """

    name: Literal["convert_blanks"] = "convert_blanks"
    question: str = "question"
    answer: str = "answer"

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields that it has nothing to do without."""
        return (self.question,)


class ConvertChoices(MayAsk):
    """Make a question and its answer of each multiple choice question.

    Options may be marked `(a)`, `a)`, `A.`, `A:` or with digits, on lines or in one. The answer
    becomes the text of the option that it means, by its label, its text, or a text near to it.
    Which of them told it stands in a new field, `ANSWER_matched_by`. An engine writes the question
    so that it asks without its options; what it says is checked as in `convert_blanks`.

    Attributes:
        question: the field with question and options.
        answer: the field with the answer.
        at_least: options; a text with fewer is no multiple choice question.
        of_the_following: what becomes of a question that asks about its own options ("which of
            the following"): `keep_options` leaves them in the question, `drop` ends the row.
        unmatched: what becomes of a row whose answer means none of its options.
        by: a model, as `path` or `hub`, that finds the option of an answer in other words; without
            one such answers mean none.
    """

    name: Literal["convert_choices"] = "convert_choices"
    question: str = "question"
    answer: str = "answer"
    at_least: int = Field(default=2, ge=2)
    of_the_following: Literal["keep_options", "drop"] = "keep_options"
    unmatched: Literal["keep", "drop"] = "drop"
    by: Encoder | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields that it has nothing to do without."""
        return (self.question, self.answer)

    @property
    def makes(self) -> tuple[str, ...]:
        """Fields that it may add to a row."""
        return (f"{self.answer}_matched_by",)


class MergeNearDuplicates(Step):
    """Keep one of the rows that say nearly the same; the others are merged into it.

    Texts with other numbers, or of which one denies, never say the same.

    Attributes:
        on: the field that is compared.
        threshold: shared word groups over all word groups of two texts (Jaccard) from which they
            say the same.
        group_words: words of a group.
    """

    name: Literal["merge_near_duplicates"] = "merge_near_duplicates"
    on: str = "question"
    threshold: float = Field(default=0.8, gt=0.0, le=1.0)
    group_words: Count = 2

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields that it has nothing to do without."""
        return (self.on,)


_AnyStep = (
    PairWith
    | Require
    | ReportDuplicates
    | DropWhere
    | Join
    | Annotate
    | Rescale
    | ConvertBlanks
    | ConvertChoices
    | DropOutliers
    | MergeNearDuplicates
    | MergeSemanticDuplicates
    | Rephrase
    | WritePrompts
    | TransformByRule
    | Translate
    | CheckAnnotations
    | Coverage
    | Augment
    | ScrubPersonal
    | DropStyleReferences
    | FindInstructions
    | Decontaminate
)

DataStep = Annotated[_AnyStep, Field(discriminator="name")]

STEP_SECTIONS: dict[str, type[Step]] = {
    kind.model_fields["name"].default: kind for kind in get_args(_AnyStep)
}
"""Each step's settings by its name."""
