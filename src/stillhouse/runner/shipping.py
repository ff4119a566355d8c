"""Whether a student can ship in the forms that a recipe asks for, before it is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stillhouse.core.errors import InputError, ModelError, RecipeError, UsageError
from stillhouse.export.gguf_architectures import require_written
from stillhouse.export.int8_order import require_linear
from stillhouse.export.modelfile import quoted
from stillhouse.models.source import ModelFolder
from stillhouse.recipes.facts import ollama_model
from stillhouse.recipes.load import Loaded, place_of
from stillhouse.recipes.schema import Recipe
from stillhouse.runner.layers import check_layers


def check_models(recipe: Recipe, folders: Mapping[str, ModelFolder | None], loaded: Loaded) -> None:
    """Refuse layers that are not there, and a student that cannot ship, before anything is run.

    Args:
        recipe: as it is run.
        folders: of `teacher` and `student`; None for a scratch model and one behind an API.
        loaded: where the recipe says so.

    Raises:
        RecipeError: names the line, what cannot be and what to do instead.
    """
    check_layers(recipe, folders, loaded)
    for key, error in _refused(recipe, folders):
        raise RecipeError(f"{place_of(loaded, key)}: {error.message}", error.hint)


def _refused(
    recipe: Recipe, folders: Mapping[str, ModelFolder | None]
) -> Iterator[tuple[str, UsageError]]:
    config = _config(recipe, folders)
    files = recipe.export.gguf_files
    if files and config:
        yield from error_of("export.formats", lambda: require_written(config, files))
    if recipe.export.int8_form and config:
        yield from error_of("export.formats", lambda: require_linear(config))
    modelfile = recipe.export.modelfile
    if modelfile and modelfile.base:
        meant = ollama_model(modelfile.base)
        if meant and recipe.student.hub and meant != recipe.student.hub:
            yield (
                "export.modelfile.base",
                ModelError(
                    f"the tag {modelfile.base} of Ollama is {meant}, and the student's adapter is "
                    f"trained on {recipe.student.hub}: on other weights it says something else",
                    "train and serve on one base, or leave base out and ship the whole student",
                ),
            )
    if modelfile and modelfile.system is not None:
        system = modelfile.system
        yield from error_of("export.modelfile.system", lambda: quoted(system))


def error_of(key: str, ask: Callable[[], object]) -> Iterator[tuple[str, UsageError]]:
    """A key with what is wrong with it, if anything is."""
    try:
        ask()
    except (ModelError, InputError) as error:
        yield key, error


def _config(recipe: Recipe, folders: Mapping[str, ModelFolder | None]) -> dict[str, Any]:
    """As much as is known; nothing of a model behind an API."""
    which = "teacher" if recipe.student.layers_of_teacher else "student"
    folder, scratch = folders[which], getattr(recipe, which).scratch
    if folder:
        return folder.config
    return {"model_type": scratch.model_type} | scratch.config if scratch else {}
