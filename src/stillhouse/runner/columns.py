"""Columns of the rows that a recipe names: what is not there is refused before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NoReturn

from stillhouse.core.errors import RecipeError
from stillhouse.core.rows import Row
from stillhouse.data.nearest import did_you_mean, some_of
from stillhouse.data.paths import MISSING, find, paths_of
from stillhouse.evals.probe_file import ProbeFile
from stillhouse.recipes.load import Loaded, place_of
from stillhouse.recipes.measuring import CLASS, LENGTH
from stillhouse.recipes.row_step import Step
from stillhouse.recipes.schema import Recipe
from stillhouse.stages.probing import CONTEXTS

_Named = tuple[Callable[[], str], str]
"""Where a column is named, to be found only where it must be told, and the column."""


def check_columns(
    recipe: Recipe, loaded: Loaded, rows: Sequence[Row], probes: ProbeFile | None = None
) -> None:
    """Refuse a recipe whose `evaluate` or one of whose steps names a column that no row has.

    Args:
        recipe: the effective recipe.
        loaded: where it says so.
        rows: those that were looked at, columns applied.
        probes: of the recipe.

    Raises:
        RecipeError: names the line and the nearest column.
    """
    if not rows:
        return
    made = [name for step in recipe.prepare.steps for name in step.makes]
    for place, column in [*_named(recipe, loaded), *_of_probes(probes)]:
        if column in made or any(find(row.fields, column) is not MISSING for row in rows):
            continue
        _refuse(place(), column, rows, [*made, *((LENGTH, CLASS) if "slices" in place() else ())])
    _check_steps(recipe, loaded, rows)


def _check_steps(recipe: Recipe, loaded: Loaded, rows: Sequence[Row]) -> None:
    """Refuse a step that would pass over every row because none has its field."""
    made: list[str] = []
    for number, step in enumerate(recipe.prepare.steps):
        for column in step.reads:
            if column in made or any(_has(row, column, step) for row in rows):
                continue
            _refuse(place_of(loaded, f"prepare.steps.{number}"), column, rows, made)
        made += step.makes


def _has(row: Row, column: str, step: Step) -> bool:
    return column in row.fields or (step.reaches_inside and find(row.fields, column) is not MISSING)


def _refuse(place: str, column: str, rows: Sequence[Row], more: Sequence[str]) -> NoReturn:
    there = dict.fromkeys(path for row in rows[:20] for path in paths_of(row.fields))
    names = [*there, *more]
    raise RecipeError(
        f'{place}: the rows have no column "{column}"{did_you_mean(column, names)}',
        f"they have: {some_of(names)}",
    )


def _named(recipe: Recipe, loaded: Loaded) -> Iterator[_Named]:
    for number, column in enumerate(recipe.evaluate.slices):
        if column not in (LENGTH, CLASS):
            yield partial(place_of, loaded, f"evaluate.slices.{number}"), column
    if recipe.evaluate.paraphrases:
        yield partial(place_of, loaded, "evaluate.paraphrases"), recipe.evaluate.paraphrases


def _of_probes(file: ProbeFile | None) -> Iterator[_Named]:
    if file is None:
        return
    for number, probe in enumerate(file.probes.probes):
        for column in probe.only:
            yield partial(file.place_of, number, "only"), column
        if probe.kind == CONTEXTS and probe.prompt:
            yield partial(file.place_of, number, "prompt"), probe.prompt
