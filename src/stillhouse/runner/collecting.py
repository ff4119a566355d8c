"""What a recipe's collection needs before it starts: its plan, its lists, the plan before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stillhouse.core.errors import UsageError
from stillhouse.core.hashing import digest_file
from stillhouse.data.collect.coverage import why_refused
from stillhouse.engines.keys import find_keys
from stillhouse.recipes.collection import Collection
from stillhouse.recipes.collection_forecast import forecast
from stillhouse.recipes.collection_plans import load_plan
from stillhouse.recipes.schema import Recipe
from stillhouse.stages.collecting import queries_of
from stillhouse.store.replies import COLLECTED, REPLIES, ReplyStore


def content_of(collection: Collection, base: Path) -> dict[str, Any]:
    """What a collection reads from outside: its plan, and digests of its lists and queries.

    Args:
        collection: of a recipe.
        base: what a relative path starts from.

    Returns:
        JSON values for the plan of the run.

    Raises:
        InputError: the plan or a file cannot be read.
    """
    files: dict[str, Any] = {}
    for name, source in collection.sources.items():
        if source.file:
            files[name] = digest_file(_there(base / source.file.path))
        else:
            files[name] = [query.model_dump() for query in queries_of(source, base)]
    plan = load_plan(collection.plan, base)
    return {"plan": plan.model_dump(mode="json", exclude={"about"}), "asked": files}


def _there(path: Path) -> Path:
    if not path.is_file():
        raise UsageError(f"no file {path}", "a relative path starts from the recipe's folder")
    return path


def require_collectable(recipe: Recipe, base: Path, root: Path) -> None:
    """Refuse a collection whose key is missing, or whose plan comes after one that has not passed.

    Args:
        recipe: whose collection is still to be made.
        base: what a relative path starts from.
        root: of the runs.

    Raises:
        UsageError: says what is missing, or which rules the plan before did not pass.
    """
    collection = recipe.collect.source.collection
    if collection is None:
        return
    for source in collection.sources.values():
        if source.key_env:
            find_keys([source.key_env], base)
    plan = load_plan(collection.plan, base)
    if plan.after:
        before = load_plan(plan.after, base)
        _require_passed(plan.name, plan.after, before.name, before.digest(), root)


def _require_passed(plan: str, after: str, before: str, digest: str, root: Path) -> None:
    path = root / COLLECTED / REPLIES
    verdicts = {}
    if path.is_file():
        store = ReplyStore(path)
        verdicts = store.verdicts(before)
        store.close()
    verdict = verdicts.get(digest)
    if verdict and verdict["passed"]:
        return
    if verdict:
        why = f"it did not pass: {why_refused(verdict)}"
    elif verdicts:
        why = "it was collected under other rules than it has now"
    else:
        why = f"it has not been collected below {root}"
    raise UsageError(
        f"the plan {plan} comes after {after}, and {why}",
        f"collect with plan: {after} first and mend what it finds; a plan of your own may name "
        "another one under after",
    )


def asking_seconds(recipe: Recipe, base: Path) -> float:
    """How long the hosts of a collection are asked, side by side; 0 without a collection."""
    collection = recipe.collect.source.collection
    if collection is None:
        return 0.0
    hosts = forecast(collection, load_plan(collection.plan, base))
    return max((one.seconds for one in hosts), default=0.0)


def notes_of(recipe: Recipe, base: Path) -> tuple[str, ...]:
    """What a collection will ask of whom, a sentence each; empty for recipes without one."""
    collection = recipe.collect.source.collection
    if collection is None:
        return ()
    plan = load_plan(collection.plan, base)
    hosts = forecast(collection, plan)
    longest = asking_seconds(recipe, base)
    asked = "; ".join(map(str, hosts)) or "nobody: all of it lies in files"
    return (
        f"collect: the plan {plan.name} ({plan.about or plan.most_songs}) asks {asked}; hosts are "
        f"asked side by side, so about {longest / 3600:.2f} h; replies that are kept already "
        "are not asked again",
        "collect: examples are priced with stand-ins of about 220 words until the songs are there",
    )
