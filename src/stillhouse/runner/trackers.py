"""Who hears the trainings of a run: what must be installed, where it writes, what it may reach."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from stillhouse.core.errors import UsageError
from stillhouse.recipes.schema import Recipe
from stillhouse.runner.guard import NetworkGuard


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tracker writes.

    Attributes:
        variable: of the environment, that names a place elsewhere.
        host: where it goes when the variable is not set; empty for this machine.
        own: variables with their values below the run's folder, set where nobody has set them.
        project: the variable that holds a project's name.
    """

    variable: str
    host: str
    own: Mapping[str, str]
    project: str = ""


_PLACES = {
    "mlflow": _Place(
        "MLFLOW_TRACKING_URI",
        "",
        # A folder; its newer stores want a database's packages.
        {"MLFLOW_TRACKING_URI": "file://{folder}/mlflow", "MLFLOW_ALLOW_FILE_STORE": "true"},
        "MLFLOW_EXPERIMENT_NAME",
    ),
    "wandb": _Place("WANDB_BASE_URL", "api.wandb.ai", {"WANDB_DIR": "{folder}"}, "WANDB_PROJECT"),
    "trackio": _Place("TRACKIO_SPACE_ID", "", {"TRACKIO_DIR": "{folder}/trackio"}),
}


def tracker_request(
    recipe: Recipe, folder: Path, environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What a training's process needs to report to the recipe's trackers.

    Args:
        recipe: the effective recipe.
        folder: of the run; what goes nowhere else is written there.
        environ: in place of this process's environment.

    Returns:
        JSON values; empty where the recipe names no tracker.

    Raises:
        UsageError: a tracker is not installed, or would reach what the recipe's network forbids.
    """
    if not recipe.report_to:
        return {}
    known = os.environ if environ is None else environ
    _require_installed(recipe.report_to)
    environment: dict[str, str] = {}
    for name in recipe.report_to:
        if name in _PLACES:
            environment |= _environment(name, recipe, folder.absolute(), known)
    return {
        "names": list(recipe.report_to),
        "folder": str(folder.absolute()),
        "project": recipe.name,
        "environment": environment,
    }


def _require_installed(names: tuple[str, ...]) -> None:
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise UsageError(
                f"report_to names {name}, which is not installed",
                f'pip install "stillhouse[{name}]", or take it out of report_to',
            )


def _environment(
    name: str, recipe: Recipe, folder: Path, known: Mapping[str, str]
) -> dict[str, str]:
    place = _PLACES[name]
    wanted = {key: value.format(folder=folder) for key, value in place.own.items()}
    wanted |= {place.project: recipe.name} if place.project else {}
    missing = {key: value for key, value in wanted.items() if key not in known}
    host = _host(known.get(place.variable, ""), name) or place.host
    guard = NetworkGuard(recipe.network)
    if not host or guard.allows(host):
        return missing
    if name == "wandb":
        # Its own process reaches out, which no guard of Python's sees.
        return missing | {"WANDB_MODE": "offline"}
    raise UsageError(
        f"report_to: {name} would reach {host}, which {place.variable} names, and the recipe says "
        f"network: {guard.policy}",
        f"name the host under network, or unset {place.variable} to write into the run's folder",
    )


def _host(value: str, name: str) -> str:
    if name == "trackio":
        return "huggingface.co" if value else ""
    parsed = urlparse(value)
    return parsed.hostname or "" if parsed.scheme.startswith("http") else ""
