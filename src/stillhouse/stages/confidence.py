"""How sure a candidate is of each answer: by its tokens, among classes, or as it says itself."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stillhouse.core.rows import Completion, Example
from stillhouse.evals.answers import parse_object
from stillhouse.evals.calibration import score_confidence
from stillhouse.evals.fields import PLAIN
from stillhouse.evals.scores import Column
from stillhouse.recipes.measuring import Evaluate
from stillhouse.report.record import writable

if TYPE_CHECKING:
    from stillhouse.engines.transformers import TransformersEngine

BY_TOKENS = "the probability of the answer's own tokens and its end"
BY_CLASSES = "the probability of the chosen class among all classes"
BY_FIELD = "what the answer says under {field}; an answer that says nothing counts as sure"
NO_PROBABILITY = (
    "{num} of {all} say what is no number from 0 to 1, such as {first}, and count as sure of a "
    "wrong answer and as doubting a right one"
)

_LONGEST_SHOWN = 40


def score_own_confidence(
    settings: Evaluate, said: Sequence[Completion], right: Column
) -> dict[str, Column]:
    """The columns of calibration, from the answers alone.

    Args:
        settings: the recipe's; `confidence_field` goes before the tokens' log-probabilities.
        said: the candidate's answers.
        right: (N,) 1 where an answer is right.

    Returns:
        `confidence` and `correct`; none where nobody says how sure the candidate is.
    """
    if settings.confidence_field:
        stated = _stated(settings.confidence_field, said)
        sure = [_sure(value, was) for value, was in zip(stated, right.tolist(), strict=True)]
        return score_confidence(sure, right.tolist())
    if not all(answer.logprobs for answer in said):
        return {}
    sums = [sum(token.logprob for token in answer.logprobs) for answer in said]
    return score_confidence([math.exp(min(0.0, total)) for total in sums], right.tolist())


def score_class_confidence(
    engine: TransformersEngine,
    settings: Evaluate,
    examples: Sequence[Example],
    said: Sequence[Completion],
    right: Column,
) -> dict[str, Column]:
    """The same, among the classes that the recipe names for a plain answer.

    Args:
        engine: of the candidate.
        settings: the recipe's, with classes of the field `answer`.
        examples: that were asked.
        said: the candidate's answers.
        right: (N,) 1 where an answer is right.

    Returns:
        An answer that is no class has the confidence 0: the candidate gives it no mass.
    """
    names = settings.fields[PLAIN].class_names
    found = engine.classify(examples, names)
    probs = [dict(zip(one.classes, np.exp(one.logprobs).tolist(), strict=True)) for one in found]
    sure = [
        min(1.0, own.get(answer.text.strip(), 0.0)) for own, answer in zip(probs, said, strict=True)
    ]
    return score_confidence(sure, right.tolist())


def confidence_note(settings: Evaluate, said: Sequence[Completion]) -> str:
    """Where the confidence comes from, and how many answers state what is none."""
    if not settings.confidence_field:
        return BY_CLASSES if has_classes(settings) else BY_TOKENS
    told = BY_FIELD.format(field=settings.confidence_field)
    stated = _stated(settings.confidence_field, said)
    wrong = [value for value in stated if value is not None and not _is_probability(value)]
    if not wrong:
        return told
    first = writable(json.dumps(wrong[0], ensure_ascii=False))[:_LONGEST_SHOWN]
    return f"{told}; {NO_PROBABILITY.format(num=len(wrong), all=len(said), first=first)}"


def has_classes(settings: Evaluate) -> bool:
    """Whether the whole answer is one of named classes."""
    kind = settings.fields.get(PLAIN)
    return kind is not None and kind.kind == "label" and len(kind.classes) > 1


def _stated(field: str, said: Sequence[Completion]) -> list[Any]:
    return [(parse_object(answer.text) or {}).get(field) for answer in said]


def _is_probability(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0.0 <= value <= 1.0


def _sure(value: Any, is_right: float) -> float:
    # Silence is no doubt, but what cannot be read is as wrong as it may be.
    if value is None:
        return 1.0
    return float(value) if _is_probability(value) else 1.0 - is_right
