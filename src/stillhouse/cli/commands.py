"""The commands that work on a recipe or a run; each imports what it needs when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

RecipeName = Annotated[str, typer.Argument(help="A recipe file or a built-in recipe's name.")]
RunName = Annotated[str, typer.Argument(help="The name of a run below the runs folder.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Change one value: a.b=c. May be repeated.")
]
RunsRoot = Annotated[str, typer.Option("--runs", help="The folder that holds all runs.")]
Name = Annotated[str, typer.Option("--name", help="The run's name; the recipe's if not given.")]
Smoke = Annotated[
    int, typer.Option("--smoke", min=0, help="Run the whole chain on this many rows a part.")
]
Profile = Annotated[
    str,
    typer.Option("--profile", help="Of a built-in recipe: full, or tiny to see it in minutes."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (run, check, status, gate, mask, ledger):
        app.command()(command)


def run(
    recipe: RecipeName,
    overrides: Overrides = None,
    runs: RunsRoot = "runs",
    name: Name = "",
    from_stage: Annotated[
        str,
        typer.Option(
            "--from",
            help="Make this stage, or one instance such as train@twin, and all that depends on it "
            "again; leave it out to go on where such a run was interrupted.",
        ),
    ] = "",
    smoke: Smoke = 0,
    profile: Profile = "",
    as_json: AsJson = False,
) -> None:
    """Run a recipe; what is already done is reused."""
    from stillhouse.cli.progress import ProgressView
    from stillhouse.cli.show import show_run
    from stillhouse.core.errors import GateRefusedError
    from stillhouse.runner.check import check as check_costs
    from stillhouse.runner.inspect import read_status
    from stillhouse.runner.opening import open_place, open_recipe
    from stillhouse.runner.resolve import resolve
    from stillhouse.runner.run import execute

    loaded, effective = open_recipe(recipe, overrides or (), smoke=smoke, profile=profile)
    place = open_place(effective, runs, name, smoke=smoke)
    resolved = resolve(loaded, effective, place.erasures, with_weights=True)
    if not place.holds_all(resolved.plan):
        check_costs(resolved, place).refuse_what_stands_in_the_way()
    try:
        with ProgressView() as view:
            execute(resolved, place, from_stage=from_stage, on_event=view)
    except GateRefusedError:
        show_run(read_status(place), as_json=as_json)
        raise
    show_run(read_status(place), as_json=as_json)


def check(
    recipe: RecipeName,
    overrides: Overrides = None,
    runs: RunsRoot = "runs",
    name: Name = "",
    smoke: Smoke = 0,
    profile: Profile = "",
    rows: Annotated[
        int,
        typer.Option(min=0, help="Assume this many rows where the recipe's file is not there yet."),
    ] = 0,
    is_probing: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Measure this machine for ten seconds, once a runs folder, to tell hours better.",
        ),
    ] = False,
    machine: Annotated[
        str,
        typer.Option(
            help="Plan for another machine, in GB: gpu=80,memory=256,disk=2000; gpu=0 has none."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Print what a run would do and cost; refuse what cannot fit. Nothing is run."""
    from stillhouse.cli.show import show_check, show_unbuilt
    from stillhouse.recipes.built import not_built
    from stillhouse.runner.check import check_recipe
    from stillhouse.runner.opening import open_place, open_recipe
    from stillhouse.runner.resolve import refuse_unbuilt

    loaded, effective = open_recipe(recipe, overrides or (), smoke=smoke, profile=profile)
    missing = not_built(effective)
    if missing:
        show_unbuilt(effective, missing, as_json=as_json)
        refuse_unbuilt(missing, loaded.origin)
    place = open_place(effective, runs, name, smoke=smoke)
    found = check_recipe(
        loaded, effective, place, num_rows=rows, is_probing=is_probing, machine=machine
    )
    show_check(found, as_json=as_json)
    found.refuse_what_stands_in_the_way()


def status(run_name: RunName, runs: RunsRoot = "runs", as_json: AsJson = False) -> None:
    """Print how far a run is."""
    from stillhouse.cli.show import show_status
    from stillhouse.runner.inspect import read_status
    from stillhouse.runner.opening import named_place

    show_status(read_status(named_place(runs, run_name)), as_json=as_json)


def gate(
    run_name: RunName,
    candidate: Annotated[str, typer.Option(help="student, twin or teacher.")] = "student",
    runs: RunsRoot = "runs",
    as_json: AsJson = False,
) -> None:
    """Ask a run's gate about a candidate; exit 3 when a rule says no."""
    from stillhouse.cli.show import show_verdict
    from stillhouse.core.errors import GateRefusedError
    from stillhouse.runner.inspect import judge
    from stillhouse.runner.opening import named_place

    verdict = judge(named_place(runs, run_name), candidate)
    show_verdict(verdict, as_json=as_json)
    if not verdict.passed:
        raise GateRefusedError(f"the gate refuses {candidate}; use {verdict.fallback} instead")


def mask(
    recipe: RecipeName,
    overrides: Overrides = None,
    part: Annotated[str, typer.Option(help="Look in this part only.")] = "",
    example: Annotated[int, typer.Option(min=0, help="Which example, counted from 0.")] = 0,
    profile: Profile = "",
    as_json: AsJson = False,
) -> None:
    """Print one example token by token, as each model reads it and learns it."""
    from stillhouse.cli.show import show_mask
    from stillhouse.runner.opening import open_recipe
    from stillhouse.runner.preview import find_mask
    from stillhouse.runner.resolve import resolve

    loaded, effective = open_recipe(recipe, overrides or (), profile=profile)
    found, views = find_mask(resolve(loaded, effective), part, example)
    show_mask(found, views, as_json=as_json)


def ledger(
    run_name: Annotated[str, typer.Argument(help="A run's name; all runs if not given.")] = "",
    runs: RunsRoot = "runs",
    as_json: AsJson = False,
) -> None:
    """Print what was spent on models behind an API, by stage and by accepted answer."""
    from stillhouse.cli.show import show_ledger
    from stillhouse.runner.ledger import read_ledger
    from stillhouse.runner.opening import named_place, root_place

    place = named_place(runs, run_name) if run_name else root_place(runs)
    show_ledger(read_ledger(place), as_json=as_json)
