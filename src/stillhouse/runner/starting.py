"""A first recipe for somebody's rows: what they said, and a guess for everything else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from stillhouse.core.errors import UsageError
from stillhouse.core.files import write_atomic
from stillhouse.data.nearest import did_you_mean, some_of
from stillhouse.recipes.compute import Host, this_host
from stillhouse.recipes.first_recipe import (
    API_KINDS,
    SCRATCH,
    Answers,
    Wishes,
    first_recipe,
)
from stillhouse.recipes.load import load_recipe
from stillhouse.runner.looking import MOST_NAMED, Looked, look_at, places_of

SCHEMA_FILE = "stillhouse.schema.json"
DEFAULT_TARGET = "recipe.yaml"
NO_ANSWER = "none"
"""Said in place of a column where rows hold only prompts."""
_PAIRS = ((80e9, "Qwen/Qwen3-8B", "Qwen/Qwen3-4B"), (20e9, "Qwen/Qwen3-4B", "Qwen/Qwen3-0.6B"))
"""Free memory of a GPU, and a teacher and a student of one tokenizer that train in it with LoRA.
assumption: at 512 tokens with gradient checkpointing; `check` tells the exact need."""


def models_for(host: Host) -> tuple[str, str]:
    """A teacher and a student that train on a machine."""
    free = host.best_card.free_bytes if host.best_card else 0
    fitting = [(teacher, student) for need, teacher, student in _PAIRS if free >= need]
    return fitting[0] if fitting else (SCRATCH, SCRATCH)


def models_here() -> tuple[str, str]:
    """The same of this machine."""
    return models_for(this_host())


@dataclass(frozen=True, slots=True)
class InitCall:
    """What somebody said of the recipe that they want; empty is guessed.

    Attributes:
        user: the prompt, with columns in braces.
        answer: the column of the answer; `none` where rows hold only prompts.
        answers: whether it is a text, one of a few classes, or a JSON object.
        teacher: `scratch`, a hub id, a folder, or KIND:MODEL behind an API.
        student: `scratch`, a hub id or a folder.
    """

    user: str = ""
    answer: str = ""
    answers: Answers | Literal[""] = ""
    teacher: str = ""
    student: str = ""


def wishes_of(said: InitCall, looked: Looked, target: Path) -> Wishes:
    """What a recipe is made of, with a guess wherever nothing was said.

    Args:
        said: by a person.
        looked: the file of the rows.
        target: the recipe's file.

    Returns:
        Wishes that may still be refused.
    """
    column = said.answer or looked.answer
    column = "" if is_no_answer(column, looked) else column
    is_columns = not looked.conversation
    kind = said.answers or (looked.answers(column) if is_columns else "text")
    best = models_here()
    file = Path(looked.source.file or "")
    reading = {"format": looked.source.format, "encoding": looked.source.encoding,
               "records": looked.source.records or ""}  # fmt: skip
    usual = {"format": "auto", "encoding": "utf-8", "records": ""}
    return Wishes(
        name=name_of(file if target.name == DEFAULT_TARGET else target),
        file=_as_written(file, target),
        user=said.user or looked.prompt,
        answer=column,
        answers=kind,
        classes=looked.classes(column) if kind == "classes" and is_columns else (),
        teacher=said.teacher or best[0],
        student=said.student or best[1],
        schema=SCHEMA_FILE,
        shape=looked.shape,
        conversation=looked.conversation,
        reading=tuple((key, value) for key, value in reading.items() if value != usual[key]),
        num_rows=looked.num_rows,
    )


def write_first_recipe(wishes: Wishes, looked: Looked, target: Path) -> None:
    """Write a recipe that loads, and beside it the JSON Schema that it names for editors.

    Args:
        wishes: what it is made of.
        looked: the file of its rows.
        target: where to; it must not be there yet.

    Raises:
        UsageError: the file is there, a column is not, or the recipe would not be valid.
    """
    _refuse(wishes, looked, target)
    text = first_recipe(wishes)
    draft = target.with_name(f".{target.name}.draft")
    write_atomic(draft, text.encode())
    try:
        load_recipe(str(draft))
    finally:
        draft.unlink()
    if wishes.schema:
        write_schema(target.with_name(wishes.schema))
    write_atomic(target, text.encode())


def write_guessed(rows: str, target: str, said: InitCall) -> Wishes:
    """Look at rows and write a recipe for them; arguments and errors as of `stillhouse.init`."""
    looked = look_at(Path(rows))
    wishes = wishes_of(said, looked, Path(target))
    write_first_recipe(wishes, looked, Path(target))
    return wishes


def write_schema(target: Path) -> None:
    """Write the JSON Schema of recipes; one of an earlier version is replaced."""
    write_atomic(target, schema_for_editors().encode())


def schema_for_editors() -> str:
    """The JSON Schema of recipes."""
    return (resources.files("stillhouse.recipes") / "recipe.schema.json").read_text("utf-8")


def name_of(file: Path) -> str:
    """A recipe's name from that of a file."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", file.stem.lower()).strip("-._")
    return plain[:64] or "mine"


def _as_written(file: Path, target: Path) -> str:
    """A path that starts from the recipe's folder, where the file lies below it."""
    try:
        return file.resolve().relative_to(target.resolve().parent).as_posix()
    except ValueError:
        return str(file.resolve())


def _refuse(wishes: Wishes, looked: Looked, target: Path) -> None:
    refuse_target(target)
    if not looked.conversation:
        refuse_answer(wishes.answer, looked)
        refuse_prompt(wishes.user, wishes.answer, looked)
        refuse_answers(wishes.answers, wishes.answer, looked)
    refuse_teacher(wishes.teacher, wishes.answer, looked, target.parent)
    refuse_model("student", wishes.student, target.parent)


def refuse_target(target: Path) -> None:
    """Raise a `UsageError` where no recipe can be written."""
    if target.exists():
        raise UsageError(f"{target} exists", "choose another name; nothing was written")
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}", "make it first")


def refuse_prompt(user: str, answer: str, looked: Looked) -> None:
    """Raise a `UsageError` where a prompt names no column, one that is not there, or the answer."""
    named = places_of(user)
    if not named:
        example = looked.prompt or f"{{{looked.columns[0]}}}"
        raise UsageError(
            f"the prompt {user!r} names no column", f"write one in braces, such as {example!r}"
        )
    for column in named:
        _refuse_column(column, looked)
    if answer in named:
        raise UsageError(
            f"the prompt shows {answer}, which is the answer",
            "a student would learn to copy it: leave it out of --user",
        )


def is_no_answer(answer: str, looked: Looked) -> bool:
    """Whether somebody says, or nobody guesses otherwise, that rows hold only prompts."""
    return not answer or (answer == NO_ANSWER and answer not in looked.columns)


def refuse_answer(answer: str, looked: Looked) -> None:
    """Raise a `UsageError` where the answer's column is not there; rows may hold only prompts."""
    if not is_no_answer(answer, looked):
        _refuse_column(answer, looked)


def _nobody_answers(looked: Looked) -> UsageError:
    said = "no column looks like the answer, and a teacher of random weights knows none"
    if any(name.strip().lstrip("-").isdigit() for name in looked.columns):
        return UsageError(
            f"{said}; the first line looks like a row",
            f"write a line of names above it; it was read as {some_of(looked.columns)}",
        )
    return UsageError(
        said,
        f"name the column with --answer; the columns are {some_of(looked.columns)}. Where rows "
        "hold only prompts, name a teacher that answers them: --teacher a hub id, a folder, or "
        "KIND:MODEL such as ollama:llama3.2:3b",
    )


def refuse_answers(answers: str, answer: str, looked: Looked) -> None:
    """Raise a `UsageError` where answers cannot be of the kind that is said."""
    kinds = ("text", "classes", "json")
    if answers not in kinds:
        said = f"answers cannot be {answers!r}{did_you_mean(answers, kinds)}"
        raise UsageError(said, f"say {', '.join(kinds[:-1])} or {kinds[-1]}")
    if answers != "classes":
        return
    classes = looked.classes(answer)
    if not 2 <= len(classes) <= MOST_NAMED:
        many = f"more than {MOST_NAMED:,}" if classes[1:] else str(len(classes))
        raise UsageError(
            f"classes: the column {answer} holds {many} different ones",
            "--answers text learns them as texts",
        )


def refuse_teacher(model: str, answer: str, looked: Looked, folder: Path) -> None:
    """Raise a `UsageError` for a teacher as `refuse_model`, or for one that cannot answer prompts.

    Args:
        model: as of `refuse_model`.
        answer: the column of the answer, `none` or empty.
        looked: the file of the rows.
        folder: the recipe's.

    Raises:
        UsageError: rows hold only prompts, and a teacher of random weights would answer them.
    """
    refuse_model("teacher", model, folder)
    if model == SCRATCH and not looked.conversation and is_no_answer(answer, looked):
        raise _nobody_answers(looked)


def refuse_model(name: str, model: str, folder: Path) -> None:
    """Raise a `UsageError` for KIND:MODEL with a kind that there is not, or for a student.

    Args:
        name: `teacher` or `student`.
        model: `scratch`, a hub id, a folder, or KIND:MODEL.
        folder: the recipe's, which a relative one starts from.

    Raises:
        UsageError: with what can be said instead.
    """
    kind, colon, rest = model.partition(":")
    is_api = name == "teacher" and bool(rest) and kind in API_KINDS
    if is_api or (folder / model).exists():
        return
    if not colon:
        return _refuse_word(name, model)
    if name == "student":
        said, mend = "is no model that can be trained", "give scratch, a hub id or a folder"
    else:
        said = "names no model" if not rest else f"{kind} is no API{did_you_mean(kind, API_KINDS)}"
        mend = f"write KIND:MODEL, where KIND is {', '.join(API_KINDS)}"
    raise UsageError(f"--{name} {model}: {said}", mend)


def _refuse_word(name: str, model: str) -> None:
    """A single word is no hub id, and a folder would be there."""
    if model != SCRATCH and "/" not in model:
        raise UsageError(
            f"--{name} {model}: there is no such folder, and a hub id is OWNER/NAME"
            f"{did_you_mean(model, (SCRATCH,))}",
            "give scratch, a hub id or a folder",
        )


def _refuse_column(column: str, looked: Looked) -> None:
    if column not in looked.columns:
        raise UsageError(
            f'the rows have no column "{column}"{did_you_mean(column, looked.columns)}',
            f"they have {some_of(looked.columns)}",
        )
