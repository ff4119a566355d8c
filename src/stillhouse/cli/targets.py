"""`stillhouse targets`: stored teacher signals: looked at, checked, priced, and brought in."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from stillhouse.cli.commands import AsJson, Overrides, Profile, RecipeName, RunsRoot, Smoke

app = typer.Typer(
    help="Look at, check, price and import stored teacher signals.", no_args_is_help=True
)
Origin = Literal["axolotl", "distillkit"]
Alignment = Literal["current", "legacy"]
Place = Annotated[
    str,
    typer.Argument(help="A run's name or folder, or the folder of a store or of what label made."),
]


@app.command("show")
def show_targets(
    place: Place,
    example: Annotated[
        str, typer.Option(help="Show this example's tokens; 'first' for the first one.")
    ] = "",
    tokens: Annotated[
        int, typer.Option(min=0, help="How many of its tokens; 0 for all of them.")
    ] = 8,
    runs: RunsRoot = "runs",
    as_json: AsJson = False,
) -> None:
    """Print what a store of targets holds, or one example of it."""
    from stillhouse.cli.show_targets import show_example, show_store
    from stillhouse.runner.stores import find_store, view_example, view_store

    found = find_store(place, runs)
    if example:
        wanted = "" if example == "first" else example
        show_example(view_example(found, wanted, tokens), as_json=as_json)
    else:
        show_store(view_store(found), as_json=as_json)


@app.command("verify")
def verify_targets(place: Place, runs: RunsRoot = "runs", as_json: AsJson = False) -> None:
    """Compare every checksum of a store of targets; exit 1 when one differs."""
    from stillhouse.cli.progress import ProgressView
    from stillhouse.cli.show_targets import show_verified
    from stillhouse.runner.stores import find_store, verify_store

    found = find_store(place, runs)
    with ProgressView() as view:
        verified = verify_store(found, view.of("verify"))
    show_verified(verified, as_json=as_json)


@app.command("forecast")
def forecast_targets(
    recipe: RecipeName,
    overrides: Overrides = None,
    runs: RunsRoot = "runs",
    smoke: Smoke = 0,
    profile: Profile = "",
    as_json: AsJson = False,
) -> None:
    """Print how large a recipe's targets will be, before anything is scored."""
    from pathlib import Path

    from stillhouse.cli.show_targets import show_forecast
    from stillhouse.core.errors import RecipeError
    from stillhouse.runner.forecast import forecast
    from stillhouse.runner.opening import open_place, open_recipe
    from stillhouse.runner.resolve import resolve

    try:
        loaded, effective = open_recipe(recipe, overrides or (), smoke=smoke, profile=profile)
    except RecipeError as error:
        if Path(recipe).is_file() or not Path(runs, recipe).is_dir():
            raise
        raise RecipeError(error.message, f"a recipe is wanted, not a run; {error.hint}") from error
    place = open_place(effective, runs, "", smoke=smoke)
    show_forecast(forecast(resolve(loaded, effective, place.erasures), place), as_json=as_json)


@app.command("import")
def import_targets(
    source: Annotated[str, typer.Argument(help="A Parquet or Arrow file, or a folder of them.")],
    origin: Annotated[Origin, typer.Option("--from", help="Who wrote it.")],
    to: Annotated[str, typer.Option("--to", help="A new folder for the store and its examples.")],
    tokenizer: Annotated[str, typer.Option(help="A folder with the tokenizer of its ids.")],
    compression: Annotated[
        str, typer.Option(help="DistillKit's compression config, a YAML file.")
    ] = "",
    messages_field: Annotated[
        str, typer.Option(help="The column of axolotl's conversations.")
    ] = "messages",
    logprobs_field: Annotated[
        str, typer.Option(help="The column of axolotl's log-probabilities.")
    ] = "logprobs",
    alignment: Annotated[
        Alignment, typer.Option(help="Of columns that axolotl prepared.")
    ] = "current",
    temperature: Annotated[
        float, typer.Option(help="At which they were taken; 1 alone can be imported.")
    ] = 1.0,
    top_k: Annotated[
        int, typer.Option(min=0, help="Entries to keep; as many as the first row has if 0.")
    ] = 0,
    accept_renormalised: Annotated[
        bool,
        typer.Option("--accept-renormalised", help="Store entries that sum to 1, without a tail."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import log-probabilities that DistillKit or axolotl stored."""
    from stillhouse.cli.progress import ProgressView
    from stillhouse.cli.show_targets import show_imported
    from stillhouse.runner.imports import ImportCall, run_import

    call = ImportCall(
        origin=origin,
        source=source,
        to=to,
        tokenizer=tokenizer,
        compression=compression,
        messages_field=messages_field,
        logprobs_field=logprobs_field,
        alignment=alignment,
        temperature=temperature,
        top_k=top_k,
        accept_renormalised=accept_renormalised,
    )
    with ProgressView() as view:
        imported = run_import(call, view.of("import"))
    show_imported(imported, as_json=as_json)
