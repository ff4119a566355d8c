"""The command that writes a first recipe."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stillhouse.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from stillhouse.recipes.first_recipe import Wishes
    from stillhouse.runner.looking import Looked
    from stillhouse.runner.starting import InitCall

_SCRATCH = """scratch: a small model of random weights, trained here; it knows your rows alone
KIND:MODEL: asked over HTTP, such as ollama:llama3.2:3b, openai:gpt-5, anthropic:..., gemini:...
"""
_NEXT = """next:
  stillhouse check {0}  # what a run would do and cost
  stillhouse mask {0}   # one example, token by token
  stillhouse run {0}
"""


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
    reading: Annotated[
        list[str] | None,
        typer.Option("--reading", help="How the file is read: encoding=, format= or records=."),
    ] = None,
    is_quiet: Annotated[
        bool, typer.Option("--yes", help="Ask nothing: take what is guessed.")
    ] = False,
) -> None:
    """Ask a few questions about your rows and write a recipe for them."""
    from stillhouse.runner.starting import (
        InitCall,
        refuse_target,
        wishes_of,
        write_first_recipe,
    )

    refuse_target(target)
    if not rows and is_quiet:
        raise UsageError("no file of rows is named", "--rows FILE")
    asking = _Asking(is_quiet)
    looked = _look(asking, rows, reading or [])
    _tell_file(looked)
    said = InitCall(user, answer, answers, teacher, student)
    if not is_quiet:
        said = _asked(asking, said, looked, target)
    wishes = wishes_of(said, looked, target)
    write_first_recipe(wishes, looked, target)
    _tell_wishes(wishes, looked)
    sys.stdout.write(f"{target}\n")
    sys.stderr.write(_NEXT.format(shlex.quote(str(target))))


class _Asking:
    """Questions to whoever sits there; one that is answered wrong is asked again.

    Args:
        is_quiet: ask nothing and take each guess.
    """

    def __init__(self, is_quiet: bool) -> None:
        self._is_quiet = is_quiet

    def ask(
        self, question: str, given: str, guess: str, refuse: Callable[[str], object] | None = None
    ) -> str:
        """What is said.

        Args:
            question: to ask.
            given: with an option; nothing is asked then.
            guess: that a person may take.
            refuse: raises a `UsageError` at a wrong answer.

        Returns:
            An answer that is not refused.

        Raises:
            UsageError: nobody is there to answer, or an option is wrong.
        """
        if given or self._is_quiet:
            said = given or guess
            if refuse:
                refuse(said)
            return said
        while True:
            try:
                said = str(typer.prompt(question, default=guess or None))
            except typer.Abort:
                if sys.stdin.isatty():
                    raise
                hint = "say it with its option, or take what is guessed with --yes"
                raise UsageError(f"there is nobody to answer: {question}", hint) from None
            try:
                if refuse:
                    refuse(said)
            except UsageError as error:
                sys.stderr.write(f"{error}\n")
                continue
            return said


def _look(asking: _Asking, rows: str, reading: list[str]) -> Looked:
    """The rows; where the file cannot be read, the mend is said in the words of this command."""
    from stillhouse.runner.looking import look_at

    keys = dict(one.partition("=")[::2] for one in reading)
    if wrong := next((key for key in keys if key not in ("encoding", "format", "records")), ""):
        raise UsageError(f"--reading {wrong}: no such key", "encoding=, format= or records=")
    if bare := next((key for key, value in keys.items() if not value), ""):
        raise UsageError(f"--reading {bare}: it says nothing", f"--reading {bare}=VALUE")
    found: list[Looked] = []

    def look(name: str) -> None:
        try:
            found.append(look_at(Path(name), encoding=keys.get("encoding", ""),
                                 form=keys.get("format", "auto"),
                                 records=keys.get("records", "")))  # fmt: skip
        except InputError as error:
            mend = re.sub(r"collect\.source\.(encoding|format|records)(: )?", r"--reading \1=",
                          error.hint)  # fmt: skip
            raise InputError(error.message, mend) from None

    asking.ask("Which file holds your rows?", rows, "", look)
    return found[-1]


def _asked(asking: _Asking, said: InitCall, looked: Looked, target: Path) -> InitCall:
    """What somebody says of everything that no option said."""
    from stillhouse.runner import starting

    user, answer, answers = said.user, said.answer, said.answers

    def refuse_answer(column: str) -> None:
        starting.refuse_answer(column, looked)
        starting.refuse_prompt(user, column, looked)

    if not looked.conversation:
        user = asking.ask(
            "What is asked? Columns stand in braces", user, looked.prompt,
            lambda prompt: starting.refuse_prompt(prompt, "", looked),
        )  # fmt: skip
        question = "Which column is the answer? none: rows hold only prompts"
        guess = looked.answer or starting.NO_ANSWER
        answer = asking.ask(question, answer, guess, refuse_answer)
        answers = asking.ask(  # type: ignore[assignment]
            "Are answers text, classes (one of a few) or json?", answers, looked.answers(answer),
            lambda kind: starting.refuse_answers(kind, answer, looked),
        )  # fmt: skip
    best = starting.models_here()
    sys.stderr.write(_SCRATCH)
    teacher = asking.ask(
        "Teacher: scratch, a hub id, a folder or KIND:MODEL", said.teacher, best[0],
        lambda model: starting.refuse_teacher(model, answer, looked, target.parent),
    )  # fmt: skip
    student = asking.ask(
        "Student: scratch, a hub id or a folder", said.student, best[1],
        lambda model: starting.refuse_model("student", model, target.parent),
    )  # fmt: skip
    return starting.InitCall(user, answer, answers, teacher, student)


def _tell_file(looked: Looked) -> None:
    from stillhouse.data.nearest import some_of
    from stillhouse.runner.looking import telling_word

    file, encoding = Path(looked.source.file or "").name, looked.source.encoding
    sys.stderr.write(f"{file}: columns {some_of(looked.columns)}\n")
    if encoding != "utf-8" and (word := telling_word(looked)):
        sys.stderr.write(f'{file} is read as {encoding}, which gives words such as "{word}"; '
                         "--reading encoding= names another\n")  # fmt: skip


def _tell_wishes(wishes: Wishes, looked: Looked) -> None:
    """What the recipe asks and learns, and what to know of the rows."""
    if wishes.conversation:
        told = f'conversations in "{wishes.conversation}": the last answer of each is learned'
    elif wishes.is_prompts_only:
        told = f"{wishes.user!r} is asked, and nobody but the teacher answers"
    else:
        form = {"classes": f"one of {len(wishes.classes)} classes", "json": "JSON"}
        kind = form.get(wishes.answers, "text")
        told = f'{wishes.user!r} is asked, "{wishes.answer}" is the answer: {kind}'
    sys.stderr.write(f"{told}\nteacher: {wishes.teacher}; student: {wishes.student}\n")
    if not wishes.conversation:
        for doubt in looked.doubts(wishes.user, wishes.answer):
            sys.stderr.write(f"take care: {doubt}\n")
