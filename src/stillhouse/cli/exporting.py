"""The command that brings a gated student out of its run: to Ollama, to the hub, into a folder."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from stillhouse.cli.commands import AsJson, RunName, RunsRoot


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(export)


def export(
    run_name: RunName,
    to: Annotated[
        str,
        typer.Option(
            help="ollama, hub:OWNER/NAME, or a folder, which gets a copy of the bundle; {n} in its "
            "name is the next number: ./models/songs-v{n}.",
            metavar="WHERE",
        ),
    ],
    name: Annotated[
        str, typer.Option(help="Of the model in Ollama; the Modelfile's if not given.")
    ] = "",
    url: Annotated[
        str, typer.Option(help="Where Ollama listens.", metavar="URL")
    ] = "http://127.0.0.1:11434",
    canaries: Annotated[
        int,
        typer.Option(
            min=0,
            help="Prompts of the holdout that Ollama must answer as the bundle's file does before "
            "the model gets its name; 0 asks nothing.",
        ),
    ] = 3,
    is_private: Annotated[
        bool, typer.Option("--private", help="Make the repository on the hub private.")
    ] = False,
    is_ungated: Annotated[
        bool,
        typer.Option("--without-gate", help="Let a recipe pass that has no gate; it is noted."),
    ] = False,
    runs: RunsRoot = "runs",
    as_json: AsJson = False,
) -> None:
    """Bring the student of a run to where it is used; exit 3 where no gate has passed it."""
    from stillhouse.runner.exporting import ExportCall, export_run
    from stillhouse.runner.opening import named_place

    call = ExportCall(to, name, url, canaries, is_private=is_private, is_ungated=is_ungated)
    found = export_run(named_place(runs, run_name), call, _tell)
    told = found.as_json()
    if as_json:
        sys.stdout.write(json.dumps(told, indent=1) + "\n")
        return
    lines = [f"{key.replace('_', ' ')}: {_plain(value)}" for key, value in told.items()]
    sys.stdout.write("\n".join(lines) + "\n")


def _tell(status: str) -> None:
    sys.stderr.write(f"{status}\n")


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
