"""The folder of llama.cpp that a recipe names: found, and digested for the plan."""

from __future__ import annotations

from stillhouse.core.errors import RecipeError
from stillhouse.core.hashing import digest_file, digest_value
from stillhouse.recipes.gguf_names import CONVERTER
from stillhouse.recipes.load import Loaded, place_of
from stillhouse.recipes.schema import Recipe

_IMPORTED = ("conversion", "gguf-py/gguf")
"""Folders beside the converter that it reads code from; the second one rounds and lays out."""


def find_llama_cpp(recipe: Recipe, loaded: Loaded) -> tuple[str, str]:
    """Where llama.cpp's converter lies, and a digest of the code that it runs.

    Args:
        recipe: as it is run.
        loaded: where the recipe says so.

    Returns:
        The folder and its digest; both empty without one.

    Raises:
        RecipeError: the converter is not there.
    """
    named = recipe.export.gguf.llama_cpp_dir if recipe.export.gguf else None
    if named is None:
        return "", ""
    folder = (loaded.base_folder / named).resolve()
    if not (folder / CONVERTER).is_file():
        raise RecipeError(
            f"{place_of(loaded, 'export.gguf.llama_cpp_dir')}: {folder} has no {CONVERTER}",
            "name the folder of llama.cpp's sources, relative to the recipe; the source "
            "distribution of llama-cpp-python holds one as vendor/llama.cpp",
        )
    files = [folder / CONVERTER]
    files += sorted(one for name in _IMPORTED for one in (folder / name).rglob("*.py"))
    told = [[one.relative_to(folder).as_posix(), digest_file(one)] for one in files]
    return str(folder), digest_value(told)
