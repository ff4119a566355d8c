"""Comparing a completion with its reference: as text, and field by field for JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jsonschema.validators import Draft202012Validator

from stillhouse.core.errors import InputError
from stillhouse.evals.scores import Column
from stillhouse.recipes.answer_schema import refuse_schema


def parse_json(text: str) -> Any:
    """The JSON value that a text is, whole; NaN and Infinity are none.

    Args:
        text: to parse.

    Returns:
        The value.

    Raises:
        ValueError: it is no JSON.
    """
    return json.loads(text, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def parse_object(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is, whole; None when it is none."""
    try:
        value = parse_json(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def score_texts(completions: Sequence[str], references: Sequence[str | None]) -> dict[str, Column]:
    """`exact`: (N,) 1 where the completion is the reference, blanks at the ends aside."""
    exact = [
        float(reference is not None and completion.strip() == reference.strip())
        for completion, reference in zip(completions, references, strict=True)
    ]
    return {"exact": np.array(exact)}


def score_objects(
    completions: Sequence[str], references: Sequence[str | None]
) -> dict[str, Column]:
    """Scores of JSON answers, whatever the order of their keys and their blanks.

    Args:
        completions: the candidate's texts.
        references: what is right, one for each; None where nothing is known.

    Returns:
        `exact`, `valid_json`: (N,) 0 or 1. `fields_right`, `fields`: (N,) counts over the
        reference's fields. `field:NAME`: (N,) 1 where that field is right.
        `field_asked:NAME`: (N,) 1 where the reference has it.
    """
    wanted = [parse_object(text) if text is not None else None for text in references]
    found = [parse_object(text) for text in completions]
    names = sorted({name for fields in wanted if fields for name in fields})
    pairs = list(zip(found, wanted, strict=True))
    right = {
        name: np.array([float(_is_right(name, got, want)) for got, want in pairs]) for name in names
    }
    counts = [float(len(want)) if want else 0.0 for want in wanted]
    scores = {
        "exact": np.array([float(want is not None and _equal(got, want)) for got, want in pairs]),
        "valid_json": np.array([float(got is not None) for got in found]),
        "fields_right": np.sum(list(right.values()), axis=0) if names else np.zeros(len(pairs)),
        "fields": np.array(counts),
    }
    for name, values in right.items():
        asked = [float(want is not None and name in want) for want in wanted]
        scores |= {f"field:{name}": values, f"field_asked:{name}": np.array(asked)}
    return scores


def _is_right(name: str, got: dict[str, Any] | None, want: dict[str, Any] | None) -> bool:
    return bool(got and want and name in want and name in got and _equal(got[name], want[name]))


def _equal(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is 1.0 but not true, and the order of keys does not count."""
    return bool(_marked(one) == _marked(other))


def _marked(value: Any) -> Any:
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, dict):
        return {key: _marked(inner) for key, inner in value.items()}
    return [_marked(inner) for inner in value] if isinstance(value, list) else value


def score_schema(completions: Sequence[str], schema: Mapping[str, Any]) -> dict[str, Column]:
    """Whether answers keep a JSON Schema.

    Args:
        completions: the candidate's texts.
        schema: that they should keep.

    Returns:
        `schema_valid`: (N,) 1 where the completion is JSON, whole, and keeps the schema.

    Raises:
        InputError: the schema is none, has a pattern that cannot be read, or refers to nowhere.
    """
    try:
        refuse_schema(schema)
    except ValueError as error:
        raise InputError(f"label.answer_schema {error}", "mend the schema") from None
    validator = Draft202012Validator(schema)
    return {"schema_valid": np.array([float(_keeps(validator, text)) for text in completions])}


def _keeps(validator: Draft202012Validator, text: str) -> bool:
    try:
        return bool(validator.is_valid(parse_json(text)))
    except (ValueError, RecursionError):
        return False


def score_agreement(
    completions: Sequence[str], teacher: Sequence[str], *, as_objects: bool
) -> dict[str, Column]:
    """`agreement`: (N,) 1 where the answer is the teacher's; as objects, order is ignored."""
    scorer = score_objects if as_objects else score_texts
    same = scorer(completions, list(teacher))["exact"]
    if as_objects:
        same = np.maximum(same, score_texts(completions, list(teacher))["exact"])
    return {"agreement": same}
