"""The command that looks at this machine and installation."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from stillhouse.cli.commands import AsJson, Overrides, Profile, RunsRoot

_UNFIT = 2
_MARKS = {"ok": "ok", "note": "note", "missing": "MISSING"}


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(doctor)


def doctor(
    recipe: Annotated[
        str, typer.Argument(help="Also look at what this recipe needs; a file or a name.")
    ] = "",
    overrides: Overrides = None,
    server: Annotated[
        str,
        typer.Option(help="Also ask a model server, such as http://127.0.0.1:11434, what it has."),
    ] = "",
    runs: RunsRoot = "runs",
    profile: Profile = "",
    as_json: AsJson = False,
) -> None:
    """Look at packages, machine, folders and hub; exit 2 when something lacks."""
    from stillhouse.runner.examining import DoctorCall, examine_all

    found = examine_all(DoctorCall(recipe, tuple(overrides or ()), profile, server, runs))
    if as_json:
        sys.stdout.write(json.dumps(found.as_json(), indent=1, ensure_ascii=False) + "\n")
    else:
        width = max(len(one.about) for one in found.findings)
        for one in found.findings:
            mend = f" -> {one.mend}" if one.mend else ""
            mark = _MARKS[one.state]
            sys.stdout.write(f"{one.about:<{width}}  {mark:<7}  {one.text}{mend}\n")
        missing = sum(one.state == "missing" for one in found.findings)
        ending = f"{missing} needed things are missing" if missing else "everything needed is there"
        sys.stdout.write(f"{ending}\n")
    if not found.is_fit:
        raise typer.Exit(_UNFIT)
