"""The `engine` of a step of the rows: who is asked about them, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field, model_validator

from stillhouse.recipes.models import ModelSource
from stillhouse.recipes.prompts import PromptTemplate
from stillhouse.recipes.section import Count

_NOT_ASKED = ("scratch", "layers_of_teacher")


class StepEngine(ModelSource):
    """Who a step asks: a model behind an API, or one of this machine, with the keys of a teacher.

    Attributes:
        prompt: a prompt file of your own, see `label.prompt`; its `{prompt}` is a JSON object of
            the row's texts. The step's own when absent.
        temperature: of its answers.
        max_new_tokens: of an answer.
        batch_size: prompts side by side, of a model of this machine.
    """

    prompt: str | None = None
    temperature: float = Field(default=0.0, ge=0.0)
    max_new_tokens: Count = 200
    batch_size: Count = 16

    def identity(self) -> dict[str, Any]:
        """What shapes an answer, as JSON values; prompt and weights stand beside it by content."""
        plain: dict[str, Any] = self.model_dump(mode="json")
        told = {"api": self.api and self.api.identity(), "path": self.path and "."}
        return plain | told | {"prompt": None, "accept_terms": None}

    @model_validator(mode="after")
    def _can_answer(self) -> Self:
        given = [name for name in _NOT_ASKED if getattr(self, name)]
        if given:
            raise ValueError(f"{given[0]} answers nothing: give api, path or hub")
        return self


@dataclass(frozen=True, slots=True)
class EngineContent:
    """What a step's engine reads from outside.

    Attributes:
        prompt: of the recipe's file; None where it names none.
        own_prompts: labels of those that this version brings for the step.
        weights: digest of a local model's; empty for one behind an API.
    """

    prompt: PromptTemplate | None
    own_prompts: tuple[str, ...]
    weights: str = ""

    def config(self, engine: StepEngine, machine: dict[str, Any]) -> dict[str, Any]:
        """What the answers depend on beside the step's settings, as JSON values."""
        prompt = self.prompt.model_dump(mode="json") if self.prompt else None
        asked = {"prompt": prompt, "own_prompts": [] if prompt else list(self.own_prompts)}
        if engine.api:
            return asked
        weights = {"weights": self.weights, "scratch": None} | engine.held
        return {**asked, "model": weights, **machine}


def location_of(variant: str, place: str) -> str:
    """The name under which a run knows where the folder of a step's engine is.

    Args:
        variant: of the step's instance; empty for `augment`, which `prepare` does.
        place: the engine's key below the step.

    Returns:
        A name among the locations of a request.
    """
    return f"engine {variant or 'augment'} {place}"
