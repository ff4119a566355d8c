"""Whether the packages of an extra are there, asked before anything is started."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from stillhouse.core.errors import RecipeError, UsageError
from stillhouse.recipes.load import Loaded, place_of
from stillhouse.recipes.meaning_steps import DropOutliers
from stillhouse.recipes.schema import Recipe

TRAIN = ("torch", "transformers", "peft", "accelerate", "safetensors")
"""Packages without which no model can be trained or asked."""

GGUF = ("gguf", "llama_cpp")
"""Packages that write GGUF files and prove them."""

GGUF_MEND = (
    'pip install "stillhouse[gguf]" (llama.cpp is compiled then, for minutes), or take them out of '
    "export.formats"
)

HARNESS = ("lm_eval",)
"""The package that brings public tasks."""


_OF_ATTENTION = {"flash_attention_2": "flash_attn"}


def require_held_weights(recipe: Recipe, device: str, loaded: Loaded) -> None:
    """Make sure that weights can be held and trained as a recipe says; nothing is imported.

    Args:
        recipe: as it is run.
        device: resolved.
        loaded: where the recipe says so.

    Raises:
        RecipeError: names the key, what is missing and what brings it.
    """
    for key, package, mend in needed_packages(recipe):
        if package == "bitsandbytes" and device == "mps":
            raise RecipeError(
                f"{place_of(loaded, key)}: bitsandbytes has no kernels for mps",
                "set compute.device: cpu, or remove the key and take bfloat16",
            )
        if importlib.util.find_spec(package) is None:
            raise RecipeError(f"{place_of(loaded, key)} needs {package}: not installed", mend)


def needed_packages(recipe: Recipe) -> Iterator[tuple[str, str, str]]:
    """The packages of extras that a recipe stands on: key, package, and what brings it."""
    yield from _of_row_steps(recipe)
    for name in ("teacher", "student"):
        if getattr(recipe, name).quantization != "none":
            yield f"{name}.quantization", "bitsandbytes", 'pip install "stillhouse[qlora]"'
    if recipe.export.int8_form:
        yield "export.formats", "torchao", 'pip install "stillhouse[int8]", or take int8 out of it'
    package = _OF_ATTENTION.get(recipe.compute.attention)
    if package:
        yield "compute.attention", package, "auto takes what there is"
    for section, training in (("finetune", recipe.finetune), ("train", recipe.train)):
        if training and training.optimizer.name == "adamw_8bit":
            key = f"{section}.optimizer.name"
            yield key, "bitsandbytes", 'pip install "stillhouse[qlora]", or take adamw'
        if training and training.deepspeed:
            yield f"{section}.deepspeed", "deepspeed", "pip install deepspeed, or remove the key"


def _of_row_steps(recipe: Recipe) -> Iterator[tuple[str, str, str]]:
    for number, step in enumerate(recipe.prepare.steps):
        key = f"prepare.steps.{number}"
        if step.encoder:
            mend = 'pip install "stillhouse[embed]", or let the step compare without a model'
            yield f"{key}.by", "sentence_transformers", mend
        if isinstance(step, DropOutliers) and step.score == "glosh":
            mend = 'pip install "stillhouse[outliers]", or take score: knn'
            yield f"{key}.score", "hdbscan", mend


def require_train() -> None:
    """Make sure that models can be trained and asked here; nothing is imported.

    Raises:
        UsageError: names what is missing and the extra that brings it.
    """
    missing = [name for name in TRAIN if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"this run trains or asks a model, which needs {', '.join(missing)}: not installed",
            'pip install "stillhouse[train]"',
        )


def require_harness() -> None:
    """Make sure that public tasks can be asked here; nothing is imported.

    Raises:
        UsageError: names what is missing and the extra that brings it.
    """
    if any(importlib.util.find_spec(name) is None for name in HARNESS):
        raise UsageError(
            "evaluate.harness asks tasks of lm-evaluation-harness, which is not installed",
            'pip install "stillhouse[lm-eval]", or remove evaluate.harness',
        )


def require_gguf() -> None:
    """Make sure that GGUF files can be written and proved here; nothing is imported.

    Raises:
        UsageError: names what is missing and the extra that brings it.
    """
    missing = missing_for_gguf()
    if missing:
        raise UsageError(
            f"export.formats asks for GGUF files, which need {', '.join(missing)}: not installed",
            GGUF_MEND,
        )


def missing_for_gguf() -> list[str]:
    """What GGUF files need and is not installed; nothing is imported."""
    return [name for name in GGUF if importlib.util.find_spec(name) is None]
