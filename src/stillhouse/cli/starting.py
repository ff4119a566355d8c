"""The command that writes a first recipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

_WHICH = "Which column is the answer? none: rows hold only prompts"


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("init")(init)


def init(
    target: Annotated[Path, typer.Argument(help="The recipe to write.")] = Path("recipe.yaml"),
    rows: Annotated[str, typer.Option("--rows", help="Your file: CSV, JSONL, Parquet, ...")] = "",
    user: Annotated[
        str, typer.Option("--user", help="The prompt, with columns in braces: {question}.")
    ] = "",
    answer: Annotated[str, typer.Option(help="The column of the answer; none: only prompts.")] = "",
    answers: Annotated[
        Literal["", "text", "classes", "json"], typer.Option("--answers", help="What answers are.")
    ] = "",
    teacher: Annotated[
        str,
        typer.Option(help="scratch, a hub id, a folder, or KIND:MODEL such as ollama:llama3.2:3b."),
    ] = "",
    student: Annotated[str, typer.Option(help="scratch, a hub id or a folder.")] = "",
    is_quiet: Annotated[
        bool, typer.Option("--yes", help="Ask nothing: take what is guessed.")
    ] = False,
) -> None:
    """Ask a few questions about your rows and write a recipe for them."""
    from stillhouse.core.errors import UsageError
    from stillhouse.recipes.first_recipe import Wishes
    from stillhouse.runner.starting import (
        NO_ANSWER,
        look_at,
        models_here,
        name_of,
        schema_for_editors,
        write_first_recipe,
    )

    def ask(question: str, given: str, guess: str) -> str:
        if given or is_quiet:
            return given or guess
        try:
            return str(typer.prompt(question, default=guess or None))
        except typer.Abort:
            if sys.stdin.isatty():
                raise
            hint = "say it with its option, or take what is guessed with --yes"
            raise UsageError(f"there is nobody to answer: {question}", hint) from None

    if target.exists():
        raise UsageError(f"{target} exists", "choose another name; nothing was written")
    if not rows and is_quiet:
        raise UsageError("no file of rows is named", "--rows FILE")
    file = ask("Which file holds your rows?", rows, "")
    looked = look_at(Path(file))
    sys.stderr.write(f"{file}: columns {', '.join(looked.columns)}\n")
    prompt = f"{{{looked.prompt}}}" if looked.prompt else ""
    asked = ask("What is asked? Columns stand in braces", user, prompt)
    column = ask(_WHICH, answer, looked.answer or NO_ANSWER)
    column = "" if column == NO_ANSWER and column not in looked.columns else column
    kind = ask("Are answers text, classes or json?", answers, looked.answers(column))
    best = models_here()
    wishes = Wishes(
        name=name_of(target),
        file=_as_written(Path(file), target),
        user=asked,
        answer=column,
        answers=kind,  # type: ignore[arg-type]
        classes=looked.classes(column) if kind == "classes" else (),
        teacher=ask("Teacher: scratch, a hub id, a folder or KIND:MODEL", teacher, best[0]),
        schema=schema_for_editors(),
        student=ask("Student: scratch, a hub id or a folder", student, best[1]),
    )
    write_first_recipe(wishes, looked, target)
    sys.stdout.write(f"{target}\n")
    sys.stderr.write(f"next: stillhouse check {target}\n")


def _as_written(file: Path, target: Path) -> str:
    """A path that starts from the recipe's folder, where the file lies below it."""
    try:
        return file.resolve().relative_to(target.resolve().parent).as_posix()
    except ValueError:
        return str(file.resolve())
