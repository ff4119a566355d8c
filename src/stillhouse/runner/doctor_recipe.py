"""What a recipe needs of this machine: packages, its rows, keys, and models in the cache."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from stillhouse.core.errors import InputError, ModelError, StillhouseError
from stillhouse.data.readers import find_file
from stillhouse.engines.keys import find_keys
from stillhouse.models.hub import Hub, HubAnswer, fetch_model
from stillhouse.recipes.facts import facts_for
from stillhouse.recipes.load import Loaded
from stillhouse.recipes.models import ModelSource
from stillhouse.recipes.schema import Recipe
from stillhouse.runner.doctor import Finding
from stillhouse.runner.extras import TRAIN, needed_packages

_BYTES = {"float32": 4.0, "bfloat16": 2.0, "mxfp4": 0.53, "nf4": 0.53}
"""Of a weight as it is published; four bits with their scales."""


def examine_recipe(loaded: Loaded, hub: Hub, answer: HubAnswer) -> Iterator[Finding]:
    """Findings about one recipe.

    Args:
        loaded: the recipe.
        hub: how the hub is reached.
        answer: what the hub said.

    Yields:
        One for what is needed of each kind.
    """
    recipe = loaded.recipe
    yield from _packages(recipe)
    yield from _rows(loaded)
    yield from _keys(loaded)
    for name, source in (("teacher", recipe.teacher), ("student", recipe.student)):
        if source.hub:
            yield _model(name, source, hub, answer, recipe)


def _packages(recipe: Recipe) -> Iterator[Finding]:
    missing = [name for name in TRAIN if importlib.util.find_spec(name) is None]
    if missing:
        mend = 'pip install "stillhouse[train]"'
        yield Finding("training", "missing", f"{', '.join(missing)} not installed", mend)
    for key, package, mend in needed_packages(recipe):
        if importlib.util.find_spec(package) is None:
            yield Finding(key, "missing", f"{package} is not installed", mend)


def _rows(loaded: Loaded) -> Iterator[Finding]:
    source = loaded.recipe.collect.source
    if not source.file:
        return
    try:
        path = find_file(source, loaded.base_folder)
    except InputError as error:
        mend = f"stillhouse check {loaded.origin} says what it must hold"
        yield Finding("rows", "missing", error.message, mend)
        return
    yield Finding("rows", "ok", f"{path}, {path.stat().st_size / 1e6:,.1f} MB")


def _keys(loaded: Loaded) -> Iterator[Finding]:
    for key, api in loaded.recipe.endpoints.items():
        try:
            find_keys(api.key_names, loaded.base_folder)
        except StillhouseError as error:
            yield Finding(key, "missing", error.message, error.hint)


def _model(name: str, source: ModelSource, hub: Hub, answer: HubAnswer, recipe: Recipe) -> Finding:
    assert source.hub is not None
    facts = facts_for(source.hub)
    revision = source.revision or (facts.revision if facts else None) or ""
    here = Hub(network=False, endpoint=hub.endpoint, cache=hub.cache)
    try:
        fetch_model(source.hub, revision, weights=True, hub=here)
    except ModelError:
        size = f", about {facts.parameters * _BYTES[facts.stored_as] / 1e9:.1f} GB" if facts else ""
        if answer.is_there and recipe.network != "none":
            told = f"{source.hub} will be fetched{size}"
            return Finding(name, "note", told, "the first run fetches it")
        told = f"{source.hub} is not in the local cache{size}, and the hub cannot be reached"
        return Finding(name, "missing", told, "connect once, or give a folder with path:")
    return Finding(name, "ok", f"{source.hub} is in the local cache")
