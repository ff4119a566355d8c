"""What a file of rows shows to somebody who has no recipe yet: its encoding, form, prompt, answer.

Everything here is a guess that `stillhouse init` tells aloud and that a person may overrule.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Row
from stillhouse.data.nearest import did_you_mean, some_of
from stillhouse.data.readers import read_rows
from stillhouse.recipes.first_recipe import Answers, Shape
from stillhouse.recipes.rows import Source

_LOOKED_AT = 2000
_MOST_CLASSES, _ROWS_A_CLASS, _CLASS_CHARS = 100, 5, 60
"""assumption: a column of few short values that come back is a class."""
MOST_NAMED = 1000  # assumption: as many as somebody who says so may mean
_FEW = 100  # assumption: of 15 answers one is 7 points, which no interval can tell apart
_TOGETHER = (("instruction", "input"), ("context", "question"), ("passage", "question"),
             ("premise", "hypothesis"))  # fmt: skip
"""Columns that published data sets mean to be read together."""
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
_TURNS: tuple[tuple[Shape, frozenset[str]], ...] = (
    ("messages", frozenset({"role", "content"})),
    ("sharegpt", frozenset({"from", "value"})),
)
"""Shape of a conversation, and what each of its turns holds."""
_MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
          (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Looked:
    """What a file of rows shows.

    Attributes:
        source: the file, and how it is read.
        columns: of its first rows, in their order.
        prompt: what is asked, with columns in braces; empty where none looks so.
        answer: the column of the answer; empty where none looks so.
        shape: of the rows, `template` where they are plain columns.
        conversation: the column of a conversation; empty for plain columns.
        rows: the first ones.
    """

    source: Source
    columns: tuple[str, ...]
    prompt: str
    answer: str
    shape: Shape
    conversation: str
    rows: tuple[Row, ...]

    @cached_property
    def num_rows(self) -> int:
        """Rows of the whole file, read to its end."""
        return sum(1 for _ in _rows_of(self.source))

    def classes(self, column: str) -> tuple[str, ...]:
        """Every value of a column in the whole file, sorted.

        Args:
            column: its name.

        Returns:
            At most one more than a recipe is written for.
        """
        found: set[str] = set()
        for row in _rows_of(self.source):
            value = row.fields.get(column)
            if value is not None and value != "":
                found.add(value if isinstance(value, str) else json.dumps(value))
            if len(found) > MOST_NAMED:
                break
        return tuple(sorted(found))

    def answers(self, column: str) -> Answers:
        """What a column's answers look like."""
        known = self._known(column)
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

    def doubts(self, asked: str, answer: str) -> Iterator[str]:
        """What somebody should know before a student learns from these rows.

        Args:
            asked: the prompt, with columns in braces.
            answer: the column of the answer; empty where there is none.

        Yields:
            One sentence for each.
        """
        places = set(places_of(asked))
        unused = [name for name in self.columns if name not in places | {answer}]
        if unused:
            yield f"no model will see: {some_of(unused)}; put what it needs into the prompt"
        if self.num_rows < _FEW:
            yield f"{self.num_rows} rows are few: the holdout is a seventh of them and tells little"
        if not answer:
            return
        known = self._known(answer)
        if any(isinstance(value, list) for value in known):
            kept = ", ".join(f"{name}: {name}" for name in dict.fromkeys(places_of(asked)))
            yield (
                f'"{answer}" holds lists, which would be learned as JSON writes them; to learn '
                f"the first of each: collect.columns: {{{kept}, {answer}: {answer}.0}}"
            )
        if lacking := sum(answer not in row.fields for row in self.rows):
            yield (
                f'{lacking:,} of {len(self.rows):,} rows have no "{answer}" at all: write null '
                "there, and they are left out and counted"
            )
        elif empty := len(self.rows) - len(known):
            yield f'{empty:,} of {len(self.rows):,} rows have an empty "{answer}" and are left out'

    def _known(self, column: str) -> list[Any]:
        values = (row.fields.get(column) for row in self.rows)
        return [value for value in values if value is not None and value != ""]


def look_at(file: Path, *, encoding: str = "", form: str = "auto", records: str = "") -> Looked:
    """The columns of a file of rows, and which of them look like prompt and answer.

    Args:
        file: CSV, TSV, JSON, JSONL or Parquet.
        encoding: of its text; found out if empty.
        form: of the file, as `collect.source.format`.
        records: dotted path to the list of rows in a JSON file.

    Returns:
        What was seen in its first rows.

    Raises:
        InputError: the file cannot be read, or not as that form, or holds no rows.
    """
    forms = get_args(Source.model_fields["format"].annotation)
    if form not in forms:
        raise InputError(
            f"{file}: nothing is read as {form!r}{did_you_mean(form, forms)}",
            f"set collect.source.format: {', '.join(forms[:-1])} or {forms[-1]}",
        )
    path = file.expanduser().resolve()
    found = encoding or (encoding_of(path) if path.is_file() else "utf-8")
    source = Source(file=str(path), format=form, encoding=found, records=records or None)  # type: ignore[arg-type]
    rows = tuple(islice(_rows_of(source), _LOOKED_AT))
    if not rows:
        raise InputError(f"{file} holds no rows", "a first line of names needs rows below it")
    columns = tuple(dict.fromkeys(name for row in rows for name in row.fields))
    shape, conversation = _conversation(columns, rows)
    if conversation:
        return Looked(source, columns, "", "", shape, conversation, rows)
    answer = _named(columns, _ANSWERS) or ""
    others = [name for name in columns if name != answer]
    prompt = _together(others) or _in_braces(_named(others, _ASKED) or _longest(others, rows))
    return Looked(source, columns, prompt, answer, shape, "", rows)


def encoding_of(path: Path) -> str:
    """How the text of a file is encoded: by its mark, UTF-8 where it is, else that of Windows.

    Args:
        path: a file; Parquet and other binary ones count as UTF-8.

    Returns:
        A Python codec name.
    """
    with path.open("rb") as stream:
        start = stream.read(4)
        marked = next((name for mark, name in _MARKS if start.startswith(mark)), "")
        if marked or b"\0" in start or start == b"PAR1":
            return marked or "utf-8"
    return next((name for name in ("utf-8", "cp1252") if _decodes(path, name)), "latin-1")


def telling_word(looked: Looked) -> str:
    """A word of the rows beyond ASCII, by which a person sees whether the encoding is right."""
    texts = (str(value) for row in looked.rows for value in (*row.fields, *row.fields.values()))
    words = (re.search(r"\w*[^\x00-\x7f]\w*", text) for text in texts)
    return next((found.group() for found in words if found), "")


def places_of(prompt: str) -> list[str]:
    """The columns that a prompt names in braces."""
    return re.findall(r"{([^{}]+)}", prompt)


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _rows_of(source: Source) -> Iterator[Row]:
    return read_rows(source, Path.cwd())


def _conversation(columns: Sequence[str], rows: Sequence[Row]) -> tuple[Shape, str]:
    for column in columns:
        turns = rows[0].fields.get(column)
        if not isinstance(turns, list) or not turns:
            continue
        for shape, keys in _TURNS:
            if all(isinstance(turn, dict) and keys <= turn.keys() for turn in turns):
                return shape, column
    return "template", ""


def _together(columns: Sequence[str]) -> str:
    plain = {name.casefold(): name for name in columns}
    found = next((pair for pair in _TOGETHER if set(pair) <= plain.keys()), ())
    return "\n".join(f"{{{plain[name]}}}" for name in found)


def _in_braces(column: str) -> str:
    return f"{{{column}}}" if column else ""


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
