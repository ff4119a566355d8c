"""A first recipe for somebody's rows: a look at the file, guesses, and a recipe that loads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

from stillhouse.core.errors import InputError, UsageError
from stillhouse.core.files import write_atomic
from stillhouse.core.rows import Row
from stillhouse.data.nearest import did_you_mean, some_of
from stillhouse.data.readers import read_rows
from stillhouse.recipes.compute import Host, this_host
from stillhouse.recipes.first_recipe import API_KINDS, SCRATCH, Answers, Wishes, first_recipe
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.rows import Source

_LOOKED_AT = 2000
_MOST_CLASSES, _ROWS_A_CLASS, _CLASS_CHARS = 30, 5, 60
"""assumption: a column of few short values that come back is a class."""
_MOST_NAMED = 1000  # assumption: as many as somebody who says so may mean
_ASKED = (
    "prompt",
    "question",
    "instruction",
    "input",
    "message",
    "text",
    "query",
    "lyrics",
    "title",
)
_ANSWERS = ("answer", "completion", "output", "response", "label", "category", "class", "target",
            "annotation", "analysis", "summary", "verdict", "intent")  # fmt: skip
NO_ANSWER = "none"
"""Said in place of a column where rows hold only prompts."""
_PAIRS = ((80e9, "Qwen/Qwen3-8B", "Qwen/Qwen3-4B"), (20e9, "Qwen/Qwen3-4B", "Qwen/Qwen3-0.6B"))
"""Free memory of a GPU, and a teacher and a student of one tokenizer that train in it with LoRA.
assumption: at 512 tokens with gradient checkpointing; `check` tells the exact need."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a file of rows shows.

    Attributes:
        file: where it lies.
        columns: of its first rows, in their order.
        prompt: the column that is asked, if one looks so.
        answer: the column of the answer, if one looks so.
        num_rows: that were looked at.
        rows: those.
    """

    file: Path
    columns: tuple[str, ...]
    prompt: str
    answer: str
    num_rows: int
    rows: tuple[Row, ...]

    def classes(self, column: str) -> tuple[str, ...]:
        """Every value of a column in the whole file, sorted.

        Args:
            column: its name.

        Returns:
            At most one more than a recipe is written for.
        """
        found: set[str] = set()
        for row in _rows_of(self.file):
            value = row.fields.get(column)
            if value is not None and value != "":
                found.add(value if isinstance(value, str) else json.dumps(value))
            if len(found) > _MOST_NAMED:
                break
        return tuple(sorted(found))

    def answers(self, column: str) -> Answers:
        """What a column's answers look like."""
        values = [row.fields.get(column) for row in self.rows]
        known = [value for value in values if value is not None and value != ""]
        if any(isinstance(value, dict) for value in known):
            return "json"
        # A number of a CSV is a text already; one of JSON is written as JSON writes it.
        texts = {str(value) for value in known}
        few = 2 <= len(texts) <= _MOST_CLASSES and len(known) >= _ROWS_A_CLASS * len(texts)
        is_text = all(isinstance(value, str) for value in known)
        if few and is_text and max(map(len, texts)) <= _CLASS_CHARS:
            # A value that first comes late in the file is a class as well.
            return "classes" if len(self.classes(column)) <= _MOST_CLASSES else "text"
        return "text"


def look_at(file: Path) -> Looked:
    """The columns of a file of rows, and which of them look like prompt and answer.

    Args:
        file: CSV, TSV, JSON, JSONL or Parquet.

    Returns:
        What was seen in its first rows.

    Raises:
        InputError: the file cannot be read, or holds no rows.
    """
    rows = tuple(islice(_rows_of(file), _LOOKED_AT))
    if not rows:
        raise InputError(f"{file} holds no rows", "a first line of names needs rows below it")
    columns = tuple(dict.fromkeys(name for row in rows for name in row.fields))
    answer = _named(columns, _ANSWERS) or ""
    others = [name for name in columns if name != answer]
    prompt = _named(others, _ASKED) or _longest(others, rows)
    return Looked(file, columns, prompt, answer, len(rows), rows)


def models_for(host: Host) -> tuple[str, str]:
    """A teacher and a student that train on a machine."""
    free = host.best_card.free_bytes if host.best_card else 0
    fitting = [(teacher, student) for need, teacher, student in _PAIRS if free >= need]
    return fitting[0] if fitting else (SCRATCH, SCRATCH)


def models_here() -> tuple[str, str]:
    """The same of this machine."""
    return models_for(this_host())


def write_first_recipe(wishes: Wishes, looked: Looked, target: Path) -> None:
    """Write a recipe that loads.

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
    write_atomic(target, text.encode())


def schema_for_editors() -> str:
    """Where the JSON Schema of recipes lies on this machine."""
    return str(resources.files("stillhouse.recipes") / "recipe.schema.json")


def name_of(file: Path) -> str:
    """A recipe's name from that of a file."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", file.stem.lower()).strip("-._")
    return plain[:64] or "mine"


def _rows_of(file: Path) -> Iterator[Row]:
    return read_rows(Source(file=str(file.resolve())), Path.cwd())


def _refuse(wishes: Wishes, looked: Looked, target: Path) -> None:
    if target.exists():
        raise UsageError(f"{target} exists", "choose another name; nothing was written")
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}", "make it first")
    _refuse_columns(wishes, looked)
    if wishes.answers == "classes" and not 2 <= len(wishes.classes) <= _MOST_NAMED:
        many = f"more than {_MOST_NAMED:,}" if wishes.classes[1:] else str(len(wishes.classes))
        raise UsageError(
            f"classes: the column {wishes.answer} holds {many} different ones",
            "--answers text learns them as texts",
        )
    for name in ("teacher", "student"):
        _refuse_model(name, wishes, target.parent)


def _refuse_columns(wishes: Wishes, looked: Looked) -> None:
    if not wishes.answer and wishes.teacher == SCRATCH:
        raise UsageError(
            "no column looks like the answer, and a teacher of random weights knows none",
            f"name the column with --answer; there are {some_of(looked.columns)}. Where rows hold "
            "only prompts, name a teacher that answers them: --teacher a hub id, a folder, or "
            "KIND:MODEL such as ollama:llama3.2:3b",
        )
    named = re.findall(r"{([^{}]+)}", wishes.user)
    if not named:
        raise UsageError(
            f"the prompt {wishes.user!r} names no column",
            f"write one in braces, such as {{{looked.prompt or looked.columns[0]}}}",
        )
    for column in (*named, *filter(None, [wishes.answer])):
        if column not in looked.columns:
            raise UsageError(
                f'the rows have no column "{column}"{did_you_mean(column, looked.columns)}',
                f"they have {some_of(looked.columns)}",
            )
    if wishes.answer in named:
        raise UsageError(
            f"the prompt shows {wishes.answer}, which is the answer",
            "a student would learn to copy it: leave it out of --user",
        )


def _refuse_model(name: str, wishes: Wishes, folder: Path) -> None:
    """Refuse KIND:MODEL with a kind that there is not, or for a student."""
    model: str = getattr(wishes, name)
    kind, colon, rest = model.partition(":")
    is_api = name == "teacher" and wishes.api is not None
    if not colon or is_api or (folder / model).exists():
        return
    if name == "student":
        said, mend = "is no model that can be trained", "give scratch, a hub id or a folder"
    else:
        said = "names no model" if not rest else f"{kind} is no API{did_you_mean(kind, API_KINDS)}"
        mend = f"write KIND:MODEL, where KIND is {', '.join(API_KINDS)}"
    raise UsageError(f"--{name} {model}: {said}", mend)


def _named(columns: Sequence[str], names: Sequence[str]) -> str | None:
    plain = {name.casefold(): name for name in columns}
    exact = next((plain[name] for name in names if name in plain), None)
    return exact or next((plain[c] for name in names for c in plain if name in c), None)


def _longest(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """The column with the longest texts."""

    def chars(column: str) -> int:
        values: list[Any] = [row.fields.get(column) for row in rows]
        return sum(len(value) for value in values if isinstance(value, str))

    found = max(columns, key=chars, default="")
    return found if found and chars(found) else ""
