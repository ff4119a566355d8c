"""The command that takes rows of a source or a person out of everything here."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from stillhouse.cli.commands import AsJson, RunsRoot


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(erase)


def erase(
    source: Annotated[
        str, typer.Option("--source", help="Rows of this source: a file's name, a provider, ...")
    ] = "",
    subject: Annotated[
        str, typer.Option("--subject", help="Rows about this person or device, by their id.")
    ] = "",
    is_confirmed: Annotated[
        bool, typer.Option("--yes", help="Remove them; without it they are only listed.")
    ] = False,
    runs: RunsRoot = "runs",
    as_json: AsJson = False,
) -> None:
    """Remove the rows of a source or a person, and keep them out of every later run."""
    from stillhouse.core.errors import UsageError
    from stillhouse.runner.erasing import erase as erase_rows
    from stillhouse.runner.opening import root_place
    from stillhouse.store.erasures import SOURCE, SUBJECT

    if bool(source) == bool(subject):
        raise UsageError("name one of --source and --subject", "stillhouse erase --source NAME")
    kind, name = (SOURCE, source) if source else (SUBJECT, subject)
    found = erase_rows(root_place(runs), kind, name, is_confirmed=is_confirmed)
    if as_json:
        sys.stdout.write(json.dumps(found.as_json(), indent=1) + "\n")
        return
    lines = [f"{len(found.rows):,} rows, read at:", *_some(found.places, "these files are yours")]
    lines += ["removed:" if found.is_done else "would be removed:", *_some(found.artifacts)]
    lines += _some([f"the report of {name}" for name in found.reports])
    if found.is_done:
        lines.append(f"  {found.answers:,} kept answers of models behind an API")
    if found.weights or found.versions:
        lines += ["not removed, because weights cannot forget a row: train anew, then delete them"]
        lines += _some([*found.weights, *(f"version {name}" for name in found.versions)])
    lines.append(
        "later runs leave these rows out"
        if found.is_done
        else "nothing was removed; call it again with --yes"
    )
    sys.stdout.write("\n".join(lines) + "\n")


_MOST = 20


def _some(names: list[str] | tuple[str, ...], note: str = "") -> list[str]:
    shown = [f"  {name}" for name in names[:_MOST]]
    more = [f"  and {len(names) - _MOST:,} more"] if len(names) > _MOST else []
    return [*shown, *more, *([f"  ({note})"] if note and names else [])]
