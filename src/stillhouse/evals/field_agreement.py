"""The fields of two models' answers compared, whether or not either is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stillhouse.core.errors import InputError
from stillhouse.evals.classification import score_same_label
from stillhouse.evals.fields import read_field
from stillhouse.evals.numbers import are_near
from stillhouse.evals.scores import Column
from stillhouse.recipes.answers import AnswerKind


def score_field_agreement(
    kinds: Mapping[str, AnswerKind],
    said: Sequence[str],
    teacher: Sequence[str],
    *,
    together: Sequence[str] = (),
    as_objects: bool,
) -> dict[str, Column]:
    """The columns of two models' fields compared.

    An answer that cannot be read agrees with nothing, not even with another such answer.

    Args:
        kinds: field to kind; a number without `within` has to be equal, texts are not compared.
        said: the student's answers.
        teacher: the teacher's, one for each.
        together: fields that have to agree at once, such as score and verdict.
        as_objects: answers are JSON objects.

    Returns:
        `agrees:FIELD`: (N,) 0 or 1. `agrees_together`: (N,), where fields are named.
        `same_class_said:FIELD` and `same_class_other:FIELD`: (N,) codes, of every label.

    Raises:
        InputError: a field of `together` is not among the kinds, or is text.
    """
    columns: dict[str, Column] = {}
    for name, kind in kinds.items():
        if kind.kind == "text":
            continue
        own, other = (
            read_field(name, kind, texts, as_objects=as_objects) for texts in (said, teacher)
        )
        agrees = [
            are_near(one, two, kind.within or 0.0)
            if kind.kind == "number"
            else one is not None and one == two
            for one, two in zip(own, other, strict=True)
        ]
        columns[f"agrees:{name}"] = np.array(agrees, dtype=np.float64)
        if kind.kind == "label":
            codes = score_same_label(kind, own, other)
            columns |= {f"{column}:{name}": values for column, values in codes.items()}
    if together:
        columns["agrees_together"] = np.prod(
            [_agreement_on(name, columns) for name in together], axis=0
        )
    return columns


def _agreement_on(name: str, columns: Mapping[str, Column]) -> Column:
    if f"agrees:{name}" not in columns:
        known = [column.partition(":")[2] for column in columns if column.startswith("agrees:")]
        raise InputError(
            f"agreement asks for the field {name!r}, which is not compared",
            f"compared are {', '.join(known)}; declare it under evaluate.fields",
        )
    return columns[f"agrees:{name}"]
