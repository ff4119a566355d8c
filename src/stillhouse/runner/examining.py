"""Everything that `stillhouse doctor` looks at, from one call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stillhouse.models.hub import Hub, HubAnswer
from stillhouse.recipes.load import load_recipe
from stillhouse.runner.doctor import Examination, Finding, examine
from stillhouse.runner.doctor_recipe import examine_recipe
from stillhouse.runner.doctor_servers import examine_server
from stillhouse.runner.opening import DEFAULT_ROOT


@dataclass(frozen=True, slots=True)
class DoctorCall:
    """What is looked at beside machine, packages and hub.

    Attributes:
        recipe: a file or a built-in recipe's name, for what it needs; empty for none.
        overrides: `a.b=c` texts.
        profile: of a built-in recipe.
        server: the address of a model server; empty for none.
        runs: the folder that holds all runs.
    """

    recipe: str = ""
    overrides: tuple[str, ...] = ()
    profile: str = ""
    server: str = ""
    runs: str = DEFAULT_ROOT


def examine_all(call: DoctorCall) -> Examination:
    """Look at this machine, and at what a recipe or a person names.

    Args:
        call: what to look at.

    Returns:
        The findings.

    Raises:
        UsageError: the recipe cannot be loaded.
    """
    hub = Hub()
    loaded = load_recipe(call.recipe, call.overrides, call.profile) if call.recipe else None

    def more(answer: HubAnswer) -> Iterator[Finding]:
        if loaded is not None:
            yield from examine_recipe(loaded, hub, answer)
        if call.server:
            yield examine_server(call.server)

    return examine(Path(call.runs), hub, more)
