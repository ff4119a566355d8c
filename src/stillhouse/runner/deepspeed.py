"""The DeepSpeed configuration that a training names: read, checked, and known by its content."""

from __future__ import annotations

import json
from typing import Any

from stillhouse.core.errors import RecipeError
from stillhouse.recipes.load import Loaded, place_of
from stillhouse.recipes.schema import Recipe

_WHOLE_STAGES = (0, 1, 2)


def find_deepspeed(recipe: Recipe, loaded: Loaded) -> dict[str, dict[str, Any]]:
    """What each training's file says.

    Args:
        recipe: the effective recipe.
        loaded: where it says so.

    Returns:
        `finetune` and `train`, where they name one, to its JSON values.

    Raises:
        RecipeError: no such file, no JSON object, or a ZeRO stage that cuts weights.
    """
    found = {}
    for section, training in (("finetune", recipe.finetune), ("train", recipe.train)):
        if training and training.deepspeed:
            place = place_of(loaded, f"{section}.deepspeed")
            found[section] = _read(loaded, training.deepspeed, place)
    return found


def _read(loaded: Loaded, name: str, place: str) -> dict[str, Any]:
    path = loaded.base_folder / name
    if not path.is_file():
        raise RecipeError(
            f"{place}: there is no file {path}", "a relative path starts at the recipe's folder"
        )
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise RecipeError(f"{place}: {path} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise RecipeError(f"{place}: {path} holds no JSON object")
    stage = (value.get("zero_optimization") or {}).get("stage", 0)
    if stage not in _WHOLE_STAGES:
        raise RecipeError(
            f"{place}: {path} asks for ZeRO stage {stage}, which cuts weights over processes",
            "the loss reads the head's weights whole: take stage 0, 1 or 2",
        )
    return value
