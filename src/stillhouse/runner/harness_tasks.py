"""The task files of `evaluate.harness`: digested for the plan, and held to the network policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stillhouse.core.errors import RecipeError
from stillhouse.core.hashing import digest_folder
from stillhouse.recipes.harness import Harness
from stillhouse.recipes.schema import Recipe

_LOCAL = frozenset({"arrow", "csv", "json", "pandas", "parquet", "text", "webdataset", "xml"})
"""Loaders of `datasets` that read files; any other `dataset_path` is a folder, or of the hub."""


def find_harness_tasks(recipe: Recipe, base: Path, origin: str) -> tuple[str, str]:
    """Where the recipe's own task files lie, and a digest of them.

    Args:
        recipe: as it is run.
        base: where relative paths start.
        origin: what errors name.

    Returns:
        The folder and its digest; both empty without one.

    Raises:
        RecipeError: there is no such folder, or a task would be downloaded under `network: none`.
    """
    settings = recipe.evaluate.harness
    if settings is None:
        return "", ""
    folder = (base / settings.include).resolve() if settings.include else None
    if folder and not folder.is_dir():
        raise RecipeError(
            f"{origin} evaluate.harness.include: no folder {folder}",
            "relative paths start beside the recipe",
        )
    if recipe.network == "none":
        _refuse_downloads(settings, folder, origin)
    return (str(folder), digest_folder(folder)) if folder else ("", "")


def _refuse_downloads(settings: Harness, folder: Path | None, origin: str) -> None:
    own = dict(_own_tasks(folder)) if folder else {}
    for number, name in enumerate(settings.tasks):
        key = f"{origin} evaluate.harness.tasks.{number}: {name}"
        hint = "write network: hub, or give its files and data with evaluate.harness.include"
        if name not in own:
            raise RecipeError(
                f"{key} is no task of evaluate.harness.include, and the harness's own tasks are "
                "downloaded; this recipe says network: none",
                hint,
            )
        path = own[name].get("dataset_path")
        if isinstance(path, str) and path not in _LOCAL and not _is_here(path, folder):
            raise RecipeError(
                f"{key} reads the data set {path}, which is downloaded; this recipe says "
                "network: none",
                hint,
            )


def _is_here(path: str, folder: Path | None) -> bool:
    return folder is not None and (folder / path).exists()


def _own_tasks(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name to its settings, of every task, group and tag in a folder."""
    for path in sorted(folder.rglob("*.yaml")):
        said = _read(path)
        names = [said.get("group"), said.get("task")]
        tags = said.get("tag") or []
        names += tags if isinstance(tags, list) else [tags]
        yield from ((name, said) for name in names if isinstance(name, str))


def _read(path: Path) -> Mapping[str, Any]:
    """A task file over those that it includes; empty where it is none."""
    try:
        # Keeps tags such as !function unread.
        said = YAML().load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError):
        return {}
    if not isinstance(said, dict):
        return {}
    under = said.get("include") or []
    for other in under if isinstance(under, list) else [under]:
        if isinstance(other, str) and (path.parent / other).resolve() != path.resolve():
            said = {**_read(path.parent / other), **said}
    return said
