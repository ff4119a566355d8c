"""Answers that are a set of classes: averages over all labels, over classes, and equal sets.

Legend: N examples, S columns, R resamples, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.evals.bootstrap import Sums, of_sums
from stillhouse.evals.classification import f1_of_sums, macro_f1, read_class
from stillhouse.evals.metric import SHARE, Metric
from stillhouse.evals.scores import Column, Scores
from stillhouse.evals.templates import fill
from stillhouse.recipes.answers import AnswerKind

Labels = frozenset[str]

_OF_CLASS = ("set_both:{place}:", "set_said:{place}:", "set_wanted:{place}:")
"""Columns of one class, by its place among the kind's classes; the field's name follows."""


def read_labels(_kind: AnswerKind, value: Any) -> Labels | None:
    """The classes that a JSON list names; None where it is no list of classes.

    Args:
        _kind: the field's; a class that it does not know is kept, because it was said.
        value: of the field.

    Returns:
        Each class once.
    """
    if not isinstance(value, list):
        return None
    names = list(map(read_class, value))
    known = frozenset(name for name in names if name is not None)
    return None if None in names else known


def score_label_sets(
    kind: AnswerKind, said: Sequence[Labels | None], wanted: Sequence[Labels | None]
) -> dict[str, Column]:
    """Columns of one field whose answers are sets of classes.

    Args:
        kind: the field's.
        said: the candidate's; None where unreadable, which is a wrong and empty set.
        wanted: the references; None where missing, which leaves every column 0.

    Returns:
        `subset_right`: (N,) 0 or 1. `labels_both`, `labels_said`, `labels_wanted`: (N,) counts.
        With declared classes the same three for each class, `set_both:0` and so on, 0 or 1.
    """
    none: Labels = frozenset()
    pairs = [
        (got or none, want or none) if want is not None else (none, none)
        for got, want in zip(said, wanted, strict=True)
    ]
    columns = {
        "subset_right": [
            want is not None and got == want for got, want in zip(said, wanted, strict=True)
        ],
        "labels_both": [len(got & want) for got, want in pairs],
        "labels_said": [len(got) for got, _ in pairs],
        "labels_wanted": [len(want) for _, want in pairs],
    }
    for place, name in enumerate(kind.class_names):
        both, said_name, wanted_name = (text.format(place=place)[:-1] for text in _OF_CLASS)
        columns |= {
            both: [name in got and name in want for got, want in pairs],
            said_name: [name in got for got, _ in pairs],
            wanted_name: [name in want for _, want in pairs],
        }
    return {name: np.array(values, dtype=np.float64) for name, values in columns.items()}


def _macro(sums: Sums) -> NDArray[np.float64]:
    both, said, wanted = np.split(sums, 3, axis=1)
    return macro_f1((both, said, wanted))


_SETS = "an unreadable answer is an empty set; not defined where there is nothing to count"
_SKLEARN = "scikit-learn, zero_division=nan"
_SKLEARN_AVERAGES = "scikit-learn, zero_division=0"

LABEL_SET_METRICS = (
    Metric(
        "micro_f1.{field}",
        "Micro F1 of {field}",
        "higher",
        f"F1 over all labels of all sets, those of no declared class too; {_SETS}.",
        ("labels_both:{field}", "labels_said:{field}", "labels_wanted:{field}"),
        of_sums(f1_of_sums),
        counted="asked:{field}",
        source=_SKLEARN,
        scale=SHARE,
    ),
    Metric(
        "micro_precision.{field}",
        "Micro precision of {field}",
        "higher",
        f"Of all labels that were said, the share that the reference has; {_SETS}.",
        ("labels_both:{field}", "labels_said:{field}"),
        counted="labels_said:{field}",
        source=_SKLEARN,
        scale=SHARE,
    ),
    Metric(
        "micro_recall.{field}",
        "Micro recall of {field}",
        "higher",
        f"Of all labels of the references, the share that was said; {_SETS}.",
        ("labels_both:{field}", "labels_wanted:{field}"),
        counted="labels_wanted:{field}",
        source=_SKLEARN,
        scale=SHARE,
    ),
    Metric(
        "subset_accuracy.{field}",
        "Equal sets of {field}",
        "higher",
        "Share of answers whose set is the reference's; an unreadable answer is wrong.",
        ("subset_right:{field}", "asked:{field}"),
        counted="asked:{field}",
        is_fraction=True,
        source="scikit-learn, accuracy_score of several labels",
    ),
)
"""What is measured of every field that is a set of classes."""


LABEL_SET_AVERAGE = Metric(
    "macro_f1.{field}",
    "Macro F1 of {field}",
    "higher",
    "Of sets: mean F1 over the declared classes that were said or wanted; an unreadable answer is "
    "an empty set.",
    tuple(f"{part.format(place=0)}{{field}}" for part in _OF_CLASS),
    of_sums(_macro),
    counted="asked:{field}",
    source=_SKLEARN_AVERAGES,
    scale=SHARE,
)
"""What is measured of a set of declared classes; its columns are three a class."""


def label_set_averages(scores: Scores) -> Iterator[Metric]:
    """Macro F1 of every field that is a set of declared classes."""
    first = _OF_CLASS[0].format(place=0)
    for column in scores.columns:
        field = column.removeprefix(first)
        if field != column:
            yield replace(fill(LABEL_SET_AVERAGE, field), needs=_columns_of_classes(field, scores))


def _columns_of_classes(field: str, scores: Scores) -> tuple[str, ...]:
    places = takewhile(lambda place: scores.has(_OF_CLASS[0].format(place=place) + field), count())
    numbers = list(places)
    return tuple(part.format(place=place) + field for part in _OF_CLASS for place in numbers)
