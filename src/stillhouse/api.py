"""The Python twin of the command line: the same words, typed results, no logic of its own.

import stillhouse

stillhouse.check("quickstart")
status = stillhouse.run("quickstart", overrides=["train.seed=1"], name="seed-1")
stillhouse.gate("seed-1", candidate="twin").passed
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stillhouse.core.rows import Example
from stillhouse.evals.gates import Verdict
from stillhouse.recipes.load import library_names
from stillhouse.runner.check import CheckReport
from stillhouse.runner.check import check as check_costs
from stillhouse.runner.events import OnEvent, ignore
from stillhouse.runner.inspect import RunStatus, judge, read_status
from stillhouse.runner.opening import DEFAULT_ROOT, named_place, open_place, open_recipe
from stillhouse.runner.pages import write_run_report
from stillhouse.runner.preview import show_mask
from stillhouse.runner.resolve import resolve
from stillhouse.runner.run import execute
from stillhouse.tokens.show import TokenView


@dataclass(frozen=True, slots=True)
class Call:
    """How a recipe is called, beside its name.

    Attributes:
        overrides: `a.b=c` texts, as after `--set`.
        runs: the folder that holds all runs.
        name: of the run; the recipe's if empty.
        smoke: run the whole chain on that many rows a part; 0 for the recipe as it is.
    """

    overrides: Sequence[str] = ()
    runs: str = DEFAULT_ROOT
    name: str = ""
    smoke: int = 0


def run(
    recipe: str, call: Call = Call(), *, from_stage: str = "", on_event: OnEvent = ignore
) -> RunStatus:
    """Run a recipe; what is already done is reused.

    Args:
        recipe: a file, or a built-in recipe's name.
        call: overrides and place.
        from_stage: make this stage and all that depends on it again.
        on_event: is told what happens.

    Returns:
        The status of the finished run, with every stage's summary.

    Raises:
        StillhouseError: see `stillhouse.core.errors`; `GateRefusedError` when the gate says no.
    """
    loaded, effective = open_recipe(recipe, call.overrides, smoke=call.smoke)
    place = open_place(effective, call.runs, call.name, smoke=call.smoke)
    resolved = resolve(loaded, effective, with_weights=True)
    if not place.holds_all(resolved.plan):
        check_costs(resolved, place).refuse_what_cannot_fit()
    execute(resolved, place, from_stage=from_stage, on_event=on_event)
    return read_status(place)


def check(recipe: str, call: Call = Call()) -> CheckReport:
    """What a run would do and cost; nothing is run.

    Args:
        recipe: a file, or a built-in recipe's name.
        call: overrides and place.

    Returns:
        Every instance with its price, and what this machine has free.

    Raises:
        UsageError: the recipe, its rows or its models cannot be used.
    """
    loaded, effective = open_recipe(recipe, call.overrides, smoke=call.smoke)
    place = open_place(effective, call.runs, call.name, smoke=call.smoke)
    return check_costs(resolve(loaded, effective), place)


def status(run_name: str, runs: str = DEFAULT_ROOT) -> RunStatus:
    """How far a run is."""
    return read_status(named_place(runs, run_name))


def gate(run_name: str, candidate: str = "student", runs: str = DEFAULT_ROOT) -> Verdict:
    """The run's gate asked about a candidate: `student`, `twin` or `teacher`."""
    return judge(named_place(runs, run_name), candidate)


def write_report(run_name: str, runs: str = DEFAULT_ROOT) -> Path:
    """Write a run's report anew; gives the page's path."""
    place = named_place(runs, run_name)
    return write_run_report(place.folder, place.store)


def mask(
    recipe: str, overrides: Sequence[str] = (), *, part: str = "", example: int = 0
) -> tuple[Example, list[TokenView]]:
    """One example token by token, with what is trained on."""
    loaded, effective = open_recipe(recipe, overrides)
    return show_mask(resolve(loaded, effective), part, example)


def list_recipes() -> list[str]:
    """The names of the built-in recipes."""
    return library_names()
