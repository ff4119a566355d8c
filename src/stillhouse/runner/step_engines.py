"""Prompt files and weights of the engines that steps ask, found before a plan is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stillhouse.data.asking import OWN_PROMPTS, own_prompt
from stillhouse.recipes.load import Loaded
from stillhouse.recipes.models import ModelSource
from stillhouse.recipes.prompts import load_prompt
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.step_engine import EngineContent, location_of


@dataclass(frozen=True, slots=True)
class StepEngineFound:
    """A step's engine on this machine.

    Attributes:
        content: what its answers depend on.
        location: the name of its folder among a run's locations.
        folder: of a model of this machine; empty for one behind an API.
    """

    content: EngineContent
    location: str
    folder: str


def find_step_engines(
    recipe: Recipe, loaded: Loaded, find: Callable[[ModelSource], tuple[str, str]]
) -> dict[tuple[str, str], StepEngineFound]:
    """The engines of a recipe's steps.

    Args:
        recipe: the effective recipe.
        loaded: where it came from.
        find: folder and digest of a model of this machine.

    Returns:
        By the variant of the step's instance and the engine's key below the step.

    Raises:
        RecipeError: a prompt file cannot be read.
        ModelError: a model cannot be found.
    """
    found = {}
    for variant, (number, step) in recipe.prepare.asking.items():
        labels = tuple(own_prompt(name).label for name in OWN_PROMPTS[step.name])
        for place, engine in step.asked.items():
            key = f"{loaded.origin} prepare.steps.{number}.{place}.prompt"
            prompt = engine.prompt and load_prompt(loaded.base_folder / engine.prompt, key)
            folder, digest = ("", "") if engine.api else find(engine)
            content = EngineContent(prompt or None, labels, digest)
            location = location_of(variant, place)
            found[variant, place] = StepEngineFound(content, location, folder)
    return found
