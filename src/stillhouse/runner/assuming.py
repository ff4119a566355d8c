"""What a recipe's file of rows must hold, and rows in its place while there is none."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.core.errors import InputError, UsageError
from stillhouse.core.files import write_atomic
from stillhouse.data.assumed_rows import assumed_rows, lengths_in_words, settings
from stillhouse.data.readers import find_file
from stillhouse.recipes.built_in import library_names
from stillhouse.recipes.data_steps import DataStep, PairWith
from stillhouse.recipes.field_steps import Join, pairs_of
from stillhouse.recipes.load import Loaded
from stillhouse.recipes.row_needs import example_answer, example_row, row_needs
from stillhouse.recipes.rows import Source
from stillhouse.recipes.schema import Recipe
from stillhouse.runner.stand_ins import StandIns

_MOST_MADE = 2000
"""Rows that are made up alike tell no more when they are many, and each is read token by token."""
_SETTINGS = 10
_USUAL_ROWS = 5000


@dataclass(frozen=True, slots=True)
class Planned:
    """What a plan is made of where something is not there yet.

    Attributes:
        recipe: reads assumed rows where there are none.
        stand_ins: for hub models that cannot be reached.
        notes: a sentence for each file that is assumed.
        num_rows: that are assumed; 0 for the rows that are there.
        missing: the file without which nothing runs, where nobody asked for assumed rows.
    """

    recipe: Recipe
    stand_ins: StandIns
    notes: tuple[str, ...] = ()
    num_rows: int = 0
    missing: InputError | None = None


def require_rows_file(recipe: Recipe, loaded: Loaded) -> None:
    """Refuse a recipe without its file of rows, telling what the file must hold.

    Args:
        recipe: as it is run.
        loaded: where it came from.

    Raises:
        InputError: there is no such file.
    """
    missing = _missing(recipe, loaded)
    if missing:
        before = f"`{_check_without_rows(recipe, loaded)}` tells the cost before"
        raise InputError(missing.message, f"{missing.hint}; {before}") from missing


def _missing(recipe: Recipe, loaded: Loaded) -> InputError | None:
    """The error of a file of rows that is not there; None where it is, or none is named."""
    if not recipe.collect.source.file:
        return None
    try:
        find_file(recipe.collect.source, loaded.base_folder)
    except InputError as error:
        if (loaded.base_folder / Path(recipe.collect.source.file).expanduser()).exists():
            raise
        return InputError(_with_needs(error.message, recipe), _mend(error.hint, loaded))
    return None


def _with_needs(message: str, recipe: Recipe) -> str:
    needs = ", ".join(map(str, row_needs(recipe)))
    columns = {need.name: need.column for need in row_needs(recipe)}
    row = {columns.get(name, name): value for name, value in example_row(recipe).items()}
    example = json.dumps(row, ensure_ascii=False)
    return f"{message}\n  each of its rows holds: {needs}\n  for example, as JSON: {example}"


def _mend(hint: str, loaded: Loaded) -> str:
    name = _built_in_name(loaded)
    return (
        f"{hint}; `stillhouse recipe copy {name}` gives you the recipe to change" if name else hint
    )


def _built_in_name(loaded: Loaded) -> str:
    """The name of a built-in recipe; empty for a file of one's own."""
    name = loaded.origin.partition(".")[0]
    return name if name in library_names() and not Path(loaded.origin).is_file() else ""


def _check_without_rows(recipe: Recipe, loaded: Loaded) -> str:
    command = f"stillhouse check {loaded.origin}"
    if _plans_by_itself(recipe, loaded):
        return command
    return f"{command} --rows {recipe.collect.planned_rows or _USUAL_ROWS}"


def _plans_by_itself(recipe: Recipe, loaded: Loaded) -> bool:
    """Whether rows are assumed unasked: the file is that of a built-in recipe, not a slip.

    In a recipe of one's own, or after a `--set` of it, a file that is not there is most often
    a path that was mistyped.
    """
    changed = (one.partition("=")[0].strip() for one in loaded.overrides)
    is_mine = any(key == "collect" or key.startswith("collect.source") for key in changed)
    return bool(recipe.collect.planned_rows and _built_in_name(loaded)) and not is_mine


@contextmanager
def planned(loaded: Loaded, recipe: Recipe, num_rows: int = 0) -> Iterator[Planned]:
    """A recipe that a plan can be made of, with what is assumed for it in a temporary folder.

    Args:
        loaded: where the recipe came from.
        recipe: as it would be run.
        num_rows: assume that many rows in the place of a file or data set; 0 reads it, or takes
            as many as a built-in recipe plans with where its file is not there.

    Yields:
        The recipe, and stand-ins for what cannot be reached.

    Raises:
        UsageError: rows are to be assumed that are there, or that the recipe makes itself.
    """
    with tempfile.TemporaryDirectory(prefix="stillhouse-") as made:
        folder = Path(made)
        stand_ins = StandIns(folder)
        missing = None
        if not num_rows and _plans_by_itself(recipe, loaded):
            missing = _missing(recipe, loaded)
            num_rows = (recipe.collect.planned_rows or 0) if missing else 0
        if not num_rows:
            yield Planned(recipe, stand_ins)
            return
        _refuse_what_is_there(loaded, recipe)
        changed, notes = _assume(loaded, recipe, num_rows, folder)
        yield Planned(changed, stand_ins, notes, num_rows, missing)


def _refuse_what_is_there(loaded: Loaded, recipe: Recipe) -> None:
    source = recipe.collect.source
    if not source.file and not source.dataset:
        raise UsageError(
            "--rows assumes rows that are not there, and this recipe makes or collects its own",
            "leave --rows out",
        )
    if source.file and (loaded.base_folder / Path(source.file).expanduser()).exists():
        raise UsageError(
            f"--rows assumes rows that are not there, and {source.file} is",
            "leave --rows out, and its own rows are looked at",
        )


def _assume(
    loaded: Loaded, recipe: Recipe, num_rows: int, folder: Path
) -> tuple[Recipe, tuple[str, ...]]:
    named = recipe.collect.source.file or "the data set"
    rows, made = folder / "rows.jsonl", min(num_rows, _MOST_MADE)
    _write(rows, assumed_rows(recipe, made))
    notes = [f"{num_rows:,} rows in the place of {named}: {lengths_in_words(recipe)}"]
    steps: list[DataStep] = []
    for step in recipe.prepare.steps:
        named_file = step.file if isinstance(step, PairWith) else None
        if named_file and not (loaded.base_folder / named_file).exists():
            notes.append(f"{_SETTINGS} settings in the place of {named_file}")
            _write(folder / "settings.jsonl", settings(_SETTINGS))
            step = step.model_copy(update={"file": str(folder / "settings.jsonl")})
        if isinstance(step, Join) and not (loaded.base_folder / step.file).exists():
            of = "each row" if step.unmatched == "drop" else "no row"
            notes.append(f"a record of {of} in the place of {step.file}")
            path = folder / f"joined-{len(steps)}.jsonl"
            _write(path, _records(recipe, step, _read(rows)))
            step = step.model_copy(update={"file": str(path)})
        steps.append(step)
    collect = recipe.collect.model_copy(update={"source": Source(file=str(rows))})
    prepare = recipe.prepare.model_copy(update={"steps": tuple(steps)})
    return recipe.model_copy(update={"collect": collect, "prepare": prepare}), tuple(notes)


def _records(
    recipe: Recipe, step: Join, rows: Iterable[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """What a file that is joined would say of rows.

    Of none of them where they go on without: then whoever is asked for the rest is asked most.
    """
    columns = recipe.collect.columns
    if step.unmatched == "keep":
        rows = [{columns.get(name, name): "nobody" for name in step.reads}]
    for number, row in enumerate(rows):
        # A dotted path is found as one key too.
        named = {path: row[columns.get(name, name)] for name, path in pairs_of(step.on)}
        yield named | {path: example_answer(recipe, number) for _, path in pairs_of(step.take)}


def _read(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_atomic(path, lines.encode())
