"""Whether what answers are measured against is what the recipe says, before anything is learned."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stillhouse.core.rows import Example
from stillhouse.data.storage import iterate_examples
from stillhouse.evals.fields import require_references
from stillhouse.recipes.schema import Recipe
from stillhouse.stages.corpus import EXAMPLES


def require_measurable(recipe: Recipe, examples: Iterable[Example]) -> None:
    """Refuse references that are not of the kind, or not on the scale, that the recipe declares.

    Args:
        recipe: as it is run.
        examples: of every part.

    Raises:
        InputError: names the field.
    """
    references = [
        item.reference or item.answer or ""
        for item in examples
        if item.part == "holdout" and item.answer
    ]
    if references:
        as_objects = recipe.prepare.answer_format == "json"
        require_references(recipe.evaluate.fields, references, as_objects=as_objects)


def require_prepared(recipe: Recipe, prepared: Path) -> None:
    """The same of the examples of a run: of rows that `check` could not see yet.

    Args:
        recipe: as it is run.
        prepared: the artifact of `prepare`.
    """
    if recipe.evaluate.fields:
        require_measurable(recipe, iterate_examples(prepared / EXAMPLES))
