"""From the words of a call to a recipe and a place for its run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stillhouse.core.errors import UsageError
from stillhouse.recipes.load import Loaded, load_recipe
from stillhouse.recipes.schema import Recipe
from stillhouse.runner.run import Place
from stillhouse.store.account import ACCOUNT

DEFAULT_ROOT = "runs"

_SMOKE_LENGTH = {"steps": 2, "epochs": None, "one_step_per": None, "most_steps": None,
                 "checkpoint_every": None}  # fmt: skip


def open_recipe(
    name_or_path: str, overrides: Sequence[str] = (), *, smoke: int = 0, profile: str = ""
) -> tuple[Loaded, Recipe]:
    """The recipe as written, and as it is to be run.

    Args:
        name_or_path: a file, or a built-in recipe's name.
        overrides: `a.b=c` texts.
        smoke: run the whole chain on that many rows a part; 0 runs the recipe as it is.
        profile: of a built-in recipe, `full` or `tiny`; the full one if empty.

    Returns:
        The recipe with its origin, and the recipe that is run.
    """
    loaded = load_recipe(name_or_path, overrides, profile)
    return loaded, shrink(loaded.recipe, smoke) if smoke else loaded.recipe


def open_place(recipe: Recipe, root: str, name: str, *, smoke: int = 0) -> Place:
    """Where the run of a recipe keeps its files; named after the recipe if not told."""
    chosen = name or (f"{recipe.name}-smoke" if smoke else recipe.name)
    return named_place(root, chosen)


def named_place(root: str, name: str) -> Place:
    """The place of a run of that name.

    Args:
        root: the folder that holds all runs.
        name: of the run.

    Returns:
        The place; nothing is made yet.

    Raises:
        UsageError: the name would leave the runs root, or is one of its own folders.
    """
    if Path(name).name != name or name in ("", ".", "..", ACCOUNT, "artifacts", "registry"):
        raise UsageError(f"{name!r} cannot name a run", "a plain folder name, such as seed-1")
    return Place(Path(root), name)


def root_place(root: str) -> Place:
    """The place of all runs of a root."""
    return Place(Path(root), "")


def shrink(recipe: Recipe, rows: int) -> Recipe:
    """The same chain on `rows` examples a part and two steps a training; its gate only reports.

    Args:
        recipe: any recipe.
        rows: examples of each part, and of each domain in it, >= 1.

    Returns:
        A recipe of its own, with hashes of its own.
    """
    plain = recipe.model_dump(mode="json", by_alias=True)
    for name in ("teacher", "student"):
        # What a student does not say for itself is its teacher's.
        own = getattr(recipe, name)
        plain[name] = own.model_dump(mode="json", by_alias=True, exclude_unset=True)
    rows *= max(1, len(recipe.domains))
    plain["prepare"]["split"]["parts"] = dict.fromkeys(plain["prepare"]["split"]["parts"], rows)
    plain["prepare"]["split"]["stratify_by"] = None
    # Room for duplicates, which are dropped before the split.
    _collect_at_most(20 * rows * len(plain["prepare"]["split"]["parts"]), recipe, plain)
    for section in (plain["finetune"], plain["train"]):
        if section:
            section["length"] |= _SMOKE_LENGTH
            section["length"]["batch_size"] = min(rows, section["length"]["batch_size"])
            section |= {"early_stopping": None, "validation": {}}
    if not recipe.teacher.api:
        plain["label"]["max_new_tokens"] = _fewer_tokens(recipe)
        # A teacher of two steps seldom ends an answer.
        plain["label"]["cut_at_most"] = 1.0
        _train_on_gold_too(plain)
    tasks = plain["evaluate"]["harness"] and plain["evaluate"]["harness"] | {"limit": rows}
    plain["evaluate"] |= {"draws": 100, "max_new_tokens": None, "harness": tasks}
    for gate in (plain["gate"], (plain["finetune"] or {}).get("gate")):
        if gate:
            gate["enforce"] = False
    # Never a version among those of the real student, which may have the recipe's name.
    named = recipe.register_as.name if recipe.register_as else recipe.name
    plain["register"] = {"name": f"{named[:58]}-smoke"}
    return Recipe.model_validate_json(json.dumps(plain))


def _fewer_tokens(recipe: Recipe) -> int:
    """Of an answer; where others are measured against the teacher's, it must end some of them."""
    most = recipe.label.max_new_tokens
    return min(16, most) if recipe.evaluate.reference == "gold" else most


def _collect_at_most(most: int, recipe: Recipe, plain: dict[str, Any]) -> None:
    """Make no more rows than that, and read no more where somebody would be asked about each."""
    made = plain["collect"]["source"]["sample_rows"]
    if made:
        made["rows"] = min(made["rows"], most)
    if recipe.step_engines:
        plain["collect"]["limit"] = min(recipe.collect.limit or most, most)


def _train_on_gold_too(plain: dict[str, Any]) -> None:
    """Give the student gold answers: a teacher of two steps seldom ends one of its own."""
    made = plain["prepare"]["split"]["parts"]
    answered = next((part for part in ("labelled", "teacher") if part in made), None)
    plain["label"]["completions"] = "mix"
    for section in ("label", "train"):
        if answered and answered not in plain[section]["parts"]:
            plain[section]["parts"] = [*plain[section]["parts"], answered]
