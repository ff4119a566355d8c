"""The fields of answers as score columns, each measured as what the recipe says it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stillhouse.core.errors import InputError
from stillhouse.evals.answers import parse_json, parse_object
from stillhouse.evals.classification import read_label, score_labels, with_classes
from stillhouse.evals.label_sets import read_labels, score_label_sets
from stillhouse.evals.numbers import note_scale, read_number, require_scale, score_numbers
from stillhouse.evals.scores import Column
from stillhouse.evals.text_counts import count_texts, read_text
from stillhouse.recipes.answers import AnswerKind

PLAIN = "answer"
"""The one field of an answer that is no JSON object."""


@dataclass(frozen=True, slots=True)
class _Way:
    """How a kind is read and scored.

    Attributes:
        read: the value of a field; None where it is not what the kind says.
        score: columns from what was said and wanted.
        what: the kind in words.
    """

    read: Callable[[AnswerKind, Any], Any]
    score: Callable[[AnswerKind, Sequence[Any], Sequence[Any]], dict[str, Column]]
    what: str


_WAYS: Mapping[str, _Way] = {
    "label": _Way(read_label, score_labels, "one class"),
    "labels": _Way(read_labels, score_label_sets, "a list of classes"),
    "number": _Way(read_number, score_numbers, "a number on its scale"),
    "text": _Way(read_text, count_texts, "a text"),
}


def read_field(
    name: str, kind: AnswerKind, texts: Sequence[str | None], *, as_objects: bool
) -> list[Any]:
    """The values of one field, one for each text.

    Args:
        name: of the field; `answer` for plain answers.
        kind: of the field.
        texts: answers; None or blank where there is none.
        as_objects: they are JSON objects, else the whole text is the field.

    Returns:
        A class, a set of classes, a number or a text; None where it cannot be read as such.
    """
    raw = _raw_values(name, kind, texts, as_objects=as_objects)
    return [None if value is None else _WAYS[kind.kind].read(kind, value) for value in raw]


def _raw_values(
    name: str, kind: AnswerKind, texts: Sequence[str | None], *, as_objects: bool
) -> list[Any]:
    if as_objects:
        return [(parse_object(text) or {}).get(name) if text else None for text in texts]
    told = [text if text and text.strip() else None for text in texts]
    if kind.kind in ("label", "text"):
        return told
    return [None if text is None else _parse(text) for text in told]


def _parse(text: str) -> Any:
    """A JSON value; a text that is none stays a text, which is neither a number nor a list."""
    try:
        return parse_json(text)
    except (ValueError, RecursionError):
        return text


def require_references(
    kinds: Mapping[str, AnswerKind],
    references: Sequence[str | None],
    *,
    as_objects: bool,
) -> None:
    """Refuse references that are not what the recipe says of its fields; ask before generating.

    Args:
        kinds: field to kind.
        references: what is right, one an example; None where nothing is known.
        as_objects: they are JSON objects.

    Raises:
        InputError: a field's value is of another kind or off its scale, no reference has the
            field, plain answers have fields, or percents are fractions.
    """
    if not as_objects and set(kinds) - {PLAIN}:
        raise InputError(
            f"evaluate.fields names {', '.join(sorted(set(kinds) - {PLAIN}))}, and answers are "
            "plain text",
            f"the one field of a plain answer is {PLAIN}; or set prepare.answer_format: json",
        )
    for name, kind in kinds.items():
        raw = _raw_values(name, kind, references, as_objects=as_objects)
        wanted = read_field(name, kind, references, as_objects=as_objects)
        for place, (value, want) in enumerate(zip(raw, wanted, strict=True)):
            if value is not None and want is None:
                raise InputError(
                    f"evaluate.fields.{name} is {_describe(kind)}, and the reference of holdout "
                    f"example {place + 1} has {_shorten(value)}",
                    "mend the rows, or say what the field is",
                )
        if all(want is None for want in wanted):
            raise InputError(
                f"evaluate.fields.{name}: none of the {len(wanted)} references has that field",
                f"the first is {_shorten(next(iter(references), None))}",
            )
        if kind.kind == "number":
            require_scale(name, kind, wanted)


def _describe(kind: AnswerKind) -> str:
    if kind.kind == "number":
        low, high = kind.scale
        return f"a number from {low:g} to {high:g}"
    if kind.kind == "label" and kind.classes:
        return f"one of {', '.join(kind.class_names)}"
    return _WAYS[kind.kind].what


def _shorten(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def score_fields(
    kinds: Mapping[str, AnswerKind],
    said: Sequence[str],
    references: Sequence[str | None],
    *,
    as_objects: bool,
) -> dict[str, Column]:
    """The columns of every declared field.

    An answer that is missing or cannot be read as its kind is wrong, never left out; an example
    whose reference lacks the field is left out of that field's numbers.

    Args:
        kinds: field to kind.
        said: the candidate's answers.
        references: what is right, one for each; None or blank where nothing is known.
        as_objects: answers are JSON objects, else the one field is `answer`.

    Returns:
        (N,) columns, each name ending in `:FIELD`: `asked`, 1 where the reference has the field;
        `unreadable`, 1 where the answer to such an example cannot be read; and the kind's own.

    Raises:
        InputError: as `require_references` says.
    """
    require_references(kinds, references, as_objects=as_objects)
    return compare_fields(kinds, said, references, as_objects=as_objects)


def compare_fields(
    kinds: Mapping[str, AnswerKind],
    said: Sequence[str],
    references: Sequence[str | None],
    *,
    as_objects: bool,
) -> dict[str, Column]:
    """As `score_fields`, of references that a model wrote: what cannot be read is missing."""
    columns: dict[str, Column] = {}
    for name, kind in kinds.items():
        want = read_field(name, kind, references, as_objects=as_objects)
        if kind.kind == "label":
            kind = with_classes(kind, want)
        got = read_field(name, kind, said, as_objects=as_objects)
        asked = np.array([value is not None for value in want], dtype=np.float64)
        own = {
            "asked": asked,
            "unreadable": asked * np.array([value is None for value in got], dtype=np.float64),
        }
        own |= _WAYS[kind.kind].score(kind, got, want)
        columns |= {f"{column}:{name}": values for column, values in own.items()}
    return columns


def note_fields(
    kinds: Mapping[str, AnswerKind],
    said: Sequence[str],
    references: Sequence[str | None],
    *,
    as_objects: bool,
) -> dict[str, str]:
    """What people should know of the fields' metrics.

    Args:
        kinds: field to kind.
        said: the candidate's answers.
        references: what is right.
        as_objects: answers are JSON objects.

    Returns:
        Metric name to a note: of numbers that look like fractions of their scale, and of
        references that lack the field.
    """
    notes: dict[str, str] = {}
    for name, kind in kinds.items():
        wanted = read_field(name, kind, references, as_objects=as_objects)
        missing = sum(value is None for value in wanted)
        if missing:
            notes[f"unreadable.{name}"] = (
                f"{missing} of {len(wanted)} references lack {name}; those examples are left out"
            )
        if kind.kind == "number":
            note = note_scale(kind, read_field(name, kind, said, as_objects=as_objects), wanted)
            notes |= {f"{metric}.{name}": note for metric in ("mae", "rmse", "within") if note}
    return notes
