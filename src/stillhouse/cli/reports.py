"""The commands that read finished runs: one as a report, some side by side, all as a list."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from stillhouse.cli.commands import AsJson, RunsRoot

Form = Literal["html", "md", "json"]
Candidate = Annotated[str, typer.Option(help="Whose numbers: student, twin, teacher, ...")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (report, leaderboard, explain, chat):
        app.command()(command)


def report(
    run_names: Annotated[list[str], typer.Argument(help="A run's name; two or more are compared.")],
    form: Annotated[
        Form, typer.Option("--format", help="html writes the page; md and json are printed.")
    ] = "html",
    candidate: Candidate = "student",
    runs: RunsRoot = "runs",
    as_json: AsJson = False,
) -> None:
    """Write a run's report anew, or compare runs of one holdout."""
    from stillhouse.cli import show_reports
    from stillhouse.runner.opening import named_place

    places = [named_place(runs, name) for name in run_names]
    if len(places) == 1:
        show_reports.show_report(places[0], form, as_json=as_json)
        return
    from stillhouse.runner.comparing import compare_runs

    compared = compare_runs(places, candidate)
    is_json = as_json or form == "json"
    show_reports.show_comparison(compared, as_markdown=form == "md", as_json=is_json)


def leaderboard(
    metric: Annotated[
        str, typer.Option(help="Sort by this metric; the first that any run has if not given.")
    ] = "",
    candidate: Candidate = "student",
    runs: RunsRoot = "runs",
    as_json: AsJson = False,
) -> None:
    """List all runs by a metric, with interval, gate, cost and size."""
    from stillhouse.cli.show_reports import show_leaderboard
    from stillhouse.runner.comparing import leaderboard as rank
    from stillhouse.runner.opening import root_place

    show_leaderboard(rank(root_place(runs), metric, candidate), as_json=as_json)


def explain(
    row_id: Annotated[str, typer.Argument(help="A row's or example's id, or its first letters.")],
    run: Annotated[
        str, typer.Option("--run", help="Look into this run; else the last one that has the row.")
    ] = "",
    runs: RunsRoot = "runs",
    as_json: AsJson = False,
) -> None:
    """Print a row's way through a run: steps, answers and scores."""
    from stillhouse.cli.show_reports import show_explanation
    from stillhouse.runner.explaining import explain_row
    from stillhouse.runner.opening import named_place, root_place

    if run:
        named_place(runs, run)
    show_explanation(explain_row(root_place(runs), row_id, run), as_json=as_json)


def chat(
    run: Annotated[str, typer.Argument(help="The name of a run whose examples are made.")],
    folder: Annotated[str, typer.Argument(help="A folder for the files.")],
    file: Annotated[
        list[str] | None,
        typer.Option(
            "--file",
            help="A file and the parts that go into it, such as train=teacher,labelled. Without: "
            "train_annotations, val_annotations, test_annotations.",
        ),
    ] = None,
    runs: RunsRoot = "runs",
    as_json: AsJson = False,
) -> None:
    """Write a run's examples as chat files: JSON lines of messages."""
    from pathlib import Path

    from stillhouse.cli.show_reports import show_chat
    from stillhouse.runner.chat_files import USUAL, parse_files, write_run_chat
    from stillhouse.runner.opening import named_place

    lines = write_run_chat(named_place(runs, run), Path(folder), parse_files(file or ()) or USUAL)
    show_chat(folder, lines, as_json=as_json)
