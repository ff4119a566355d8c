"""Whether a teacher has the layers that its student is to start as."""

from __future__ import annotations

from typing import Any

from stillhouse.core.errors import RecipeError
from stillhouse.models.source import ModelFolder
from stillhouse.recipes.load import Loaded, place_of
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.sizes import sizes_of


def teacher_config(recipe: Recipe, teacher: ModelFolder | None) -> dict[str, Any]:
    """The teacher's config.json, or what the recipe says of a scratch teacher."""
    if teacher:
        return teacher.config
    scratch = recipe.teacher.scratch
    return {"model_type": scratch.model_type} | scratch.config if scratch else {}


def check_layers(recipe: Recipe, teacher: ModelFolder | None, loaded: Loaded) -> None:
    """Refuse layers that the teacher does not have.

    Args:
        recipe: as it is run.
        teacher: its folder; None for a scratch teacher.
        loaded: where the recipe says so.

    Raises:
        RecipeError: names the layers, and those that there are.
    """
    layers = recipe.student.layers_of_teacher
    if not layers:
        return
    config = teacher_config(recipe, teacher)
    count = sizes_of(config, config.get("vocab_size") or 1).layers
    beyond = [str(layer) for layer in layers if layer >= count]
    if beyond:
        raise RecipeError(
            f"{place_of(loaded, 'student.layers_of_teacher')}: the teacher has no layer "
            f"{', '.join(beyond)}",
            f"its layers are 0 to {count - 1}",
        )
