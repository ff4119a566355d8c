"""What cannot hold beside domains, whose adapters share one frozen base."""

from __future__ import annotations

from collections.abc import Iterator

from stillhouse.recipes.problem import Problem
from stillhouse.recipes.schema import Recipe


def domain_problems(recipe: Recipe) -> Iterator[Problem]:
    """What of a recipe contradicts its domains."""
    if not recipe.domains:
        if recipe.prepare.domain_field:
            yield Problem(
                "prepare.domain_field", "deals rows out to domains, and the recipe has none"
            )
        return
    if not recipe.prepare.domain_field:
        yield Problem("domains", "no row says which one it belongs to: add prepare.domain_field")
    yield from _training_problems(recipe)
    if recipe.export.formats != ("adapter",):
        yield Problem(
            "export.formats",
            f"[{', '.join(recipe.export.formats)}], but every domain has an adapter of its own, "
            "which no merged model can hold: write [adapter]",
        )
    if recipe.evaluate.harness:
        yield Problem("evaluate.harness", "its tasks belong to no domain, so no adapter is asked")


def _training_problems(recipe: Recipe) -> Iterator[Problem]:
    if not recipe.train.lora:
        yield Problem("domains", "are adapters on one frozen base: add train.lora")
    elif recipe.train.lora.bias != "none":
        yield Problem(
            "train.lora.bias",
            f"{recipe.train.lora.bias} trains weights of the base, which all domains share: none",
        )
