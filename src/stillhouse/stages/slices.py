"""The parts of the holdout that a recipe names: by a column of the rows, by length, by class."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Example
from stillhouse.data.drafts import without_system
from stillhouse.data.paths import MISSING, find
from stillhouse.evals.answers import parse_object
from stillhouse.evals.scores import Column
from stillhouse.evals.slices import MOST_NAMES, by_size, slice_columns
from stillhouse.recipes.domains import DOMAIN
from stillhouse.recipes.measuring import CLASS, LENGTH, Evaluate
from stillhouse.report.record import writable

_LONGEST_NAME = 60


def cut_by_slices(
    examples: Sequence[Example],
    fields: Sequence[dict[str, Any]],
    settings: Evaluate,
    *,
    as_objects: bool,
) -> dict[str, Column]:
    """The columns of every part of every kind that the recipe names.

    Args:
        examples: that are measured.
        fields: of their rows, in the same order.
        settings: the recipe's.
        as_objects: answers are JSON objects, whose fields are classes, not they.

    Returns:
        (N,) 0 or 1 for each part.

    Raises:
        InputError: no row has such a column.
    """
    found: dict[str, Column] = {}
    if examples[0].domain:
        found |= slice_columns(DOMAIN, [[example.domain] for example in examples])
    for kind in settings.slices:
        if kind == DOMAIN and found:
            continue
        if kind == LENGTH:
            found |= slice_columns(LENGTH, _by_length(examples))
        elif kind == CLASS:
            for name in settings.class_fields if as_objects else ("",):
                label = f"{CLASS} of {name}" if name else CLASS
                found |= slice_columns(label, [_classes(one, name) for one in examples])
        else:
            found |= slice_columns(kind, _by_column(fields, kind))
    return found


def _by_length(examples: Sequence[Example]) -> list[list[str]]:
    lengths = [
        sum(len(turn.content) for turn in without_system(example.prompt)) for example in examples
    ]
    return by_size(lengths, "characters")


def _classes(example: Example, field: str) -> list[str]:
    reference = example.reference or example.answer or ""
    if not field:
        return [_named(reference)]
    return _names((parse_object(reference) or {}).get(field))


def _by_column(fields: Sequence[dict[str, Any]], path: str) -> list[list[str]]:
    values = [find(own, path) for own in fields]
    if all(value is MISSING for value in values):
        raise InputError(
            f"evaluate.slices: no row of the holdout has the column {path!r}",
            "name a column that collect.columns keeps",
        )
    known = [value for value in values if _is_number(value)]
    if len(known) == len(values) and len(set(known)) > MOST_NAMES:
        return by_size(known)
    return [_names(None if value is MISSING else value) for value in values]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _names(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    texts = [
        each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in values
    ]
    return [_named(text) for text in texts]


def _named(text: str) -> str:
    # JSON may hold half of a pair of surrogates, a column's name may not.
    plain = " ".join(writable(text).split())
    return plain if len(plain) <= _LONGEST_NAME else plain[: _LONGEST_NAME - 3] + "..."
