"""What an export's bytes depend on, as JSON values."""

from __future__ import annotations

from typing import Any

from stillhouse.recipes.schema import Recipe


def export_config(recipe: Recipe, llama_cpp: str) -> dict[str, Any]:
    """The section `export` and what forms with fewer bits are proved with.

    That the export is evaluated changes no byte of it.

    Args:
        recipe: as it is run.
        llama_cpp: digest of the folder that `export.gguf.llama_cpp_dir` names.

    Returns:
        The part of an instance's configuration.
    """
    section = recipe.export.model_dump(mode="json", by_alias=True)
    del section["evaluate"]
    # Where nothing is asked of a form, nothing is named anew.
    if section["int8"] is None:
        del section["int8"]
    if section["dtype"] == "float32":
        del section["dtype"]
    if section["gguf"]:
        section["gguf"]["llama_cpp_dir"] = llama_cpp or None
    return {"export": section} | _proved(recipe)


def _proved(recipe: Recipe) -> dict[str, Any]:
    files, label = recipe.export.gguf_files, recipe.label
    found: dict[str, Any] = {}
    if label.answer_schema is not None and (files or recipe.export.int8_form):
        tokens = recipe.evaluate.max_new_tokens or label.max_new_tokens
        found |= {"answer_schema": label.answer_schema, "answer_tokens": tokens}
    if files and files.importance:
        found["importance_parts"] = list(recipe.train.parts)
    return found
