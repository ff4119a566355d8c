"""What a recipe needs of this machine: packages, its files, keys, and models."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from stillhouse.core.errors import InputError, ModelError, StillhouseError
from stillhouse.data.readers import find_file
from stillhouse.engines.keys import find_keys
from stillhouse.models.encode import ENCODER_FILES
from stillhouse.models.hub import Hub, HubAnswer, fetch_model
from stillhouse.recipes.encoders import Encoder
from stillhouse.recipes.facts import facts_for
from stillhouse.recipes.load import Loaded
from stillhouse.recipes.models import ModelSource
from stillhouse.recipes.rows import Source
from stillhouse.recipes.schema import Recipe
from stillhouse.runner.doctor import Finding
from stillhouse.runner.doctor_servers import examine_endpoints
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
    yield from _files(loaded)
    yield from _keys(loaded)
    yield from examine_endpoints(recipe)
    for name, source in _models(recipe).items():
        if source.path:
            yield _folder(name, source.path, loaded)
        elif source.hub:
            yield _model(name, source, hub, answer, recipe)


def _packages(recipe: Recipe) -> Iterator[Finding]:
    missing = [name for name in TRAIN if importlib.util.find_spec(name) is None]
    if missing:
        mend = 'pip install "stillhouse[train]"'
        yield Finding("training", "missing", f"{', '.join(missing)} not installed", mend)
    for key, package, mend in needed_packages(recipe):
        if importlib.util.find_spec(package) is None:
            yield Finding(key, "missing", f"{package} is not installed", mend)


def _files(loaded: Loaded) -> Iterator[Finding]:
    """The rows, and what steps read beside them."""
    mend = f"stillhouse check {loaded.origin} says what it must hold"
    if loaded.recipe.collect.source.file:
        yield _file("rows", loaded.recipe.collect.source, loaded, mend)
    for number, step in enumerate(loaded.recipe.prepare.steps):
        file = getattr(step, "file", None)
        if file:
            mend = "a relative path starts from the recipe's folder"
            yield _file(f"prepare.steps.{number}.file", Source(file=file), loaded, mend)


def _file(name: str, source: Source, loaded: Loaded, mend: str) -> Finding:
    try:
        path = find_file(source, loaded.base_folder)
    except InputError as error:
        return Finding(name, "missing", error.message, mend)
    return Finding(name, "ok", f"{path}, {path.stat().st_size / 1e6:,.1f} MB")


def _keys(loaded: Loaded) -> Iterator[Finding]:
    for key, api in loaded.recipe.endpoints.items():
        try:
            find_keys(api.key_names, loaded.base_folder)
        except StillhouseError as error:
            yield Finding(key, "missing", error.message, error.hint)


def _models(recipe: Recipe) -> dict[str, ModelSource | Encoder]:
    """Every model of this machine or the hub that a run loads, each once, by its first key."""
    named: list[tuple[str, ModelSource | Encoder]] = [
        ("teacher", recipe.teacher),
        ("student", recipe.student),
        *recipe.step_engines.items(),
    ]
    named += [
        (f"prepare.steps.{number}.by", step.encoder)
        for number, step in enumerate(recipe.prepare.steps)
        if step.encoder
    ]
    # From the last to the first, so that the first key stays.
    keys = {(one.path, one.hub, one.revision): key for key, one in reversed(named)}
    return {key: one for key, one in named if keys[one.path, one.hub, one.revision] == key}


def _folder(name: str, path: str, loaded: Loaded) -> Finding:
    folder = (loaded.base_folder / path).resolve()
    if folder.is_dir():
        return Finding(name, "ok", f"{folder} is there")
    mend = "a relative path starts from the recipe's folder; hub: takes a model from the hub"
    return Finding(name, "missing", f"there is no folder {folder}", mend)


def _model(
    name: str, source: ModelSource | Encoder, hub: Hub, answer: HubAnswer, recipe: Recipe
) -> Finding:
    assert source.hub is not None
    facts = facts_for(source.hub)
    revision = source.revision or (facts.revision if facts else None) or ""
    here = Hub(network=False, endpoint=hub.endpoint, cache=hub.cache)
    more = ENCODER_FILES if isinstance(source, Encoder) else ()
    try:
        fetch_model(source.hub, revision, weights=True, hub=here, more=more)
    except ModelError:
        size = f", about {facts.parameters * _BYTES[facts.stored_as] / 1e9:.1f} GB" if facts else ""
        if answer.is_there and recipe.network != "none":
            told = f"{source.hub} will be fetched{size}"
            return Finding(name, "note", told, "the first run fetches it")
        told = f"{source.hub} is not in the local cache{size}, and the hub cannot be reached"
        return Finding(name, "missing", told, "connect once, or give a folder with path:")
    return Finding(name, "ok", f"{source.hub} is in the local cache")
