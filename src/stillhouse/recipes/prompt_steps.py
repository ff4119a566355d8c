"""The steps of prompts: `write_prompts`, `transform_by_rule` and `translate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from stillhouse.recipes.row_step import AskingStep, FieldName, Step
from stillhouse.recipes.section import Count, Fraction, Seed
from stillhouse.recipes.step_engine import StepEngine

_TOKENS = 150
"""source: the founding description of the prompt transformer: "Token limit: 150"."""


class PromptEngine(StepEngine):
    """Who writes prompts: short ones, that differ; else as the engine of any step.

    Attributes:
        temperature: of its answers.
        max_new_tokens: of a prompt; one that is cut there is dropped.
    """

    temperature: float = Field(default=1.0, ge=0.0)
    max_new_tokens: Count = _TOKENS


class WritePrompts(AskingStep):
    """Have an engine write a prompt of each row: a corpus of so many prompts of each preset.

    The rows are beginnings, such as those of `collect.source.sample_rows` with the task
    `prompt_seeds`: a preset, and what the prompt is to be about. Each is asked once. A prompt that
    is cut at the engine's `max_new_tokens` (here 150), says what its preset forbids, names a style
    or repeats another is dropped, and the next beginning asked instead; beginnings that are left
    over end without being asked.

    Attributes:
        preset: the field that names the preset.
        presets: name to what is asked for; `clean_image`, `photo` and `artform` come with
            Stillhouse.
        prompt: the new field.
        each: prompts of each preset.
        alike: shared word pairs over all word pairs of two prompts from which one repeats the
            other.
        engine: who writes.
        deferred_at_most: 0. No more are asked than prompts are wanted, so that none may wait.
    """

    name: Literal["write_prompts"] = "write_prompts"
    preset: FieldName = "preset"
    presets: dict[str, str] = Field(default_factory=dict)
    prompt: FieldName = "prompt"
    each: Count = 1000
    alike: Annotated[Fraction, Field(gt=0.0)] = 0.8
    engine: PromptEngine
    deferred_at_most: Annotated[Fraction, Field(le=0.0)] = 0.0

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields that it has nothing to do without."""
        return (self.preset,)

    @property
    def makes(self) -> tuple[str, ...]:
        """Fields that it may add to a row."""
        return (self.prompt,)

    @property
    def asked(self) -> Mapping[str, StepEngine]:
        """Who writes."""
        return {"engine": self.engine}


class TransformByRule(Step):
    """Write a transformation of each prompt by rule.

    It is the prompt's own words, and three sentences of what it was paired with. The step stands
    behind `pair_with: {set: ...}`, and needs no model. Style references are left out. A teacher may
    learn the form of its answers from these, and a student has something to be measured on before
    anybody has written better.

    Attributes:
        prompt: the field with the prompt.
        context: what `pair_with` calls the context.
        as: the new field.
        lapses: share of the prompts with a style reference that keep it, so that a linter has
            something to find.
        seed: another seed takes other sentences.
    """

    name: Literal["transform_by_rule"] = "transform_by_rule"
    prompt: FieldName = "prompt"
    context: FieldName = "context"
    as_: FieldName = Field(default="transformation", alias="as")
    lapses: Fraction = 0.0
    seed: Seed = 0

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields that it has nothing to do without."""
        return (self.prompt, f"{self.context}_id")

    @property
    def makes(self) -> tuple[str, ...]:
        """Fields that it may add to a row."""
        return (self.as_,)


class Translate(AskingStep):
    """Have an engine translate the texts that are not English.

    Whether a text is English is told by its script and its small words; a name alone cannot be told
    and counts as English.

    Attributes:
        fields: the texts.
        untranslated: what becomes of a row whose text is not English, and cannot be translated.
        engine: who translates; without one such rows are dropped or kept as `untranslated` says.
    """

    name: Literal["translate"] = "translate"
    fields: tuple[FieldName, ...] = Field(default=("prompt",), min_length=1)
    untranslated: Literal["drop", "keep"] = "drop"
    engine: StepEngine | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields that it has nothing to do without."""
        return self.fields

    @property
    def asked(self) -> Mapping[str, StepEngine]:
        """Who translates."""
        return {"engine": self.engine} if self.engine else {}
