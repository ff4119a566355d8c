"""Columns of the rows that `evaluate` names: what is not there is refused before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stillhouse.core.errors import RecipeError
from stillhouse.core.rows import Row
from stillhouse.data.nearest import did_you_mean, some_of
from stillhouse.data.paths import MISSING, find, paths_of
from stillhouse.recipes.load import Loaded, place_of
from stillhouse.recipes.measuring import CLASS, LENGTH
from stillhouse.recipes.schema import Recipe


def check_columns(recipe: Recipe, loaded: Loaded, rows: Sequence[Row]) -> None:
    """Refuse a recipe whose `evaluate` names a column that no row has.

    Args:
        recipe: the effective recipe.
        loaded: where it says so.
        rows: those that were looked at, columns applied.

    Raises:
        RecipeError: names the line and the nearest column.
    """
    made = {name for step in recipe.prepare.pairings for name in (step.as_, f"{step.as_}_id")}
    for key, column in _named(recipe):
        if column in made or any(find(row.fields, column) is not MISSING for row in rows):
            continue
        there = dict.fromkeys(path for row in rows[:20] for path in paths_of(row.fields))
        names = [*there, *made, *((LENGTH, CLASS) if "slices" in key else ())]
        raise RecipeError(
            f'{place_of(loaded, key)}: the rows have no column "{column}"'
            f"{did_you_mean(column, names)}",
            f"they have: {some_of(names)}",
        )


def _named(recipe: Recipe) -> Iterator[tuple[str, str]]:
    for number, column in enumerate(recipe.evaluate.slices):
        if column not in (LENGTH, CLASS):
            yield f"evaluate.slices.{number}", column
    if recipe.evaluate.paraphrases:
        yield "evaluate.paraphrases", recipe.evaluate.paraphrases
