"""Whether two models have what a recipe names of them: layers to start as, layers to adapt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from stillhouse.core.errors import RecipeError
from stillhouse.models.source import ModelFolder
from stillhouse.recipes.adapter_problems import adapter_problems
from stillhouse.recipes.load import Loaded, place_of
from stillhouse.recipes.problem import Problem
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.sizes import Sizes, sizes_of


def check_layers(recipe: Recipe, folders: Mapping[str, ModelFolder | None], loaded: Loaded) -> None:
    """Refuse layers that are not there, before anything is run.

    Args:
        recipe: as it is run.
        folders: of `teacher` and `student`; None for a scratch model and one behind an API.
        loaded: where the recipe says so.

    Raises:
        RecipeError: names the line, what is not there and what there is.
    """
    problems = [*_taken_over(recipe, folders), *_adapted(recipe, folders)]
    if problems:
        lines = [f"{place_of(loaded, problem.key)}: {problem.text}" for problem in problems]
        raise RecipeError("\n".join(lines))


def _taken_over(recipe: Recipe, folders: Mapping[str, ModelFolder | None]) -> Iterator[Problem]:
    layers = recipe.student.layers_of_teacher or ()
    sizes = _sizes(recipe, folders, "teacher") if layers else None
    beyond = [str(layer) for layer in layers if sizes and layer >= sizes.layers]
    if sizes and beyond:
        yield Problem(
            "student.layers_of_teacher",
            f"the teacher has no layer {', '.join(beyond)}: its layers are 0 to {sizes.layers - 1}",
        )


def _adapted(recipe: Recipe, folders: Mapping[str, ModelFolder | None]) -> Iterator[Problem]:
    trainings = {"teacher": ("finetune", recipe.finetune), "student": ("train", recipe.train)}
    for which, (section, training) in trainings.items():
        if training is None or training.lora is None:
            continue
        sizes = _sizes(recipe, folders, which)
        for problem in adapter_problems(sizes, training.lora) if sizes else ():
            yield Problem(f"{section}.lora.{problem.key}", problem.text)


def _sizes(recipe: Recipe, folders: Mapping[str, ModelFolder | None], which: str) -> Sizes | None:
    """None for a model behind an API."""
    source, folder = getattr(recipe, which), folders[which]
    if source.layers_of_teacher:
        whole = _sizes(recipe, folders, "teacher")
        return whole and replace(whole, layers=len(source.layers_of_teacher))
    if folder:
        return sizes_of(folder.config)
    if source.scratch:
        config = {"model_type": source.scratch.model_type} | source.scratch.config
        return sizes_of(config, config.get("vocab_size") or 1)
    return None
