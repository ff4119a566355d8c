"""Whether one model answers alike: asked again, in a batch, or in other words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from stillhouse.core.errors import InputError
from stillhouse.evals.alike import BATCHED, REPEATED
from stillhouse.evals.fields import read_field
from stillhouse.evals.scores import Column
from stillhouse.recipes.answers import AnswerKind


def score_repeats(
    kinds: Mapping[str, AnswerKind],
    repeats: Sequence[Sequence[str]],
    *,
    as_objects: bool,
) -> dict[str, Column]:
    """The columns of examples that were asked several times.

    Args:
        kinds: field to kind.
        repeats: R lists of N answers, each list all examples asked once.
        as_objects: answers are JSON objects.

    Returns:
        `repeated`: (N,) 1. `repeats_equal`: (N,) 1 where all texts are equal. `range:FIELD`, of
        each number: (N,) largest minus smallest over the scale's length. `flip:FIELD`, of labels
        and sets of them: (N,) 1 where not all are equal. An unreadable answer is a flip and the
        whole scale.

    Raises:
        InputError: fewer than two repeats, or lists of several lengths.
    """
    _require_lists(repeats)
    texts = [{text.strip() for text in own} for own in zip(*repeats, strict=True)]
    columns = {
        REPEATED: np.ones(len(texts)),
        "repeats_equal": np.array([float(len(own) == 1) for own in texts]),
    }
    for name, kind in kinds.items():
        read = [read_field(name, kind, said, as_objects=as_objects) for said in repeats]
        answers = list(zip(*read, strict=True))
        if kind.kind == "number":
            columns[f"range:{name}"] = np.array([_range(kind, own) for own in answers])
        elif kind.kind in ("label", "labels"):
            flips = [float(None in own or len(set(own)) > 1) for own in answers]
            columns[f"flip:{name}"] = np.array(flips)
    return columns


def _require_lists(lists: Sequence[Sequence[str]]) -> None:
    if len(lists) < 2:
        raise InputError(
            f"consistency was asked of {len(lists)} repeats", "ask every example at least twice"
        )
    lengths = sorted({len(own) for own in lists})
    if len(lengths) > 1:
        raise InputError(
            f"repeats of one model hold {lengths} answers", "ask all examples each time"
        )


def _range(kind: AnswerKind, numbers: Sequence[float | None]) -> float:
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        return 1.0
    low, high = kind.scale
    return (max(known) - min(known)) / (high - low)


def score_batch(
    kinds: Mapping[str, AnswerKind],
    alone: Sequence[str],
    in_batch: Sequence[str],
    *,
    as_objects: bool,
) -> dict[str, Column]:
    """The columns of examples that were answered one by one and in a batch.

    Args:
        kinds: field to kind.
        alone: answers one by one.
        in_batch: answers to the same, side by side.
        as_objects: answers are JSON objects.

    Returns:
        `batched`: (N,) 1. `batch_equal`: (N,) 1 where both texts are equal.
        `batch_difference:FIELD`, of each number: (N,) the distance of both, the scale's length
        where either cannot be read.

    Raises:
        InputError: lists of several lengths.
    """
    _require_lists([alone, in_batch])
    equal = [float(one.strip() == two.strip()) for one, two in zip(alone, in_batch, strict=True)]
    columns = {BATCHED: np.ones(len(equal)), "batch_equal": np.array(equal)}
    for name, kind in kinds.items():
        if kind.kind != "number":
            continue
        pairs = zip(
            *(read_field(name, kind, said, as_objects=as_objects) for said in (alone, in_batch)),
            strict=True,
        )
        columns[f"batch_difference:{name}"] = np.array(
            [_difference(kind, one, two) for one, two in pairs]
        )
    return columns


def _difference(kind: AnswerKind, one: float | None, two: float | None) -> float:
    if one is None or two is None:
        low, high = kind.scale
        return high - low
    return abs(one - two)


def score_paraphrases(
    kinds: Mapping[str, AnswerKind],
    said: Sequence[str],
    groups: Sequence[str | None],
    *,
    as_objects: bool,
) -> dict[str, Column]:
    """The columns of examples that ask the same in other words.

    Args:
        kinds: field to kind; answers are equal where every field is, and without fields where the
            texts are.
        said: the candidate's answers.
        groups: the same name for examples that should get equal answers; None for one that stands
            alone. A group of one is no group.
        as_objects: answers are JSON objects.

    Returns:
        (N,) each, at the first example of a group, else 0: `group`, 1; `group_equal`, 1 where
        all its answers are equal; `group_pairs` and `group_pairs_equal`, counts. An answer with
        a field that cannot be read equals no other.
    """
    answers = _comparable(kinds, said, as_objects=as_objects)
    members: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        if group is not None:
            members.setdefault(group, []).append(place)
    names = ("group", "group_equal", "group_pairs", "group_pairs_equal")
    columns = {name: np.zeros(len(said)) for name in names}
    for places in members.values():
        pairs = list(combinations(places, 2))
        if not pairs:
            continue
        equal = sum(None not in answers[a] and answers[a] == answers[b] for a, b in pairs)
        counts = (1.0, float(equal == len(pairs)), float(len(pairs)), float(equal))
        for name, count in zip(names, counts, strict=True):
            columns[name][places[0]] = count
    return columns


def _comparable(
    kinds: Mapping[str, AnswerKind], said: Sequence[str], *, as_objects: bool
) -> list[tuple[Any, ...]]:
    if not kinds:
        return [(text.strip(),) for text in said]
    read = [read_field(name, kind, said, as_objects=as_objects) for name, kind in kinds.items()]
    return list(zip(*read, strict=True))
