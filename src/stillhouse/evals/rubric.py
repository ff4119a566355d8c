"""A judge's scores from 1 to 5 by a rubric, such as how well an answer keeps to its context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Example
from stillhouse.evals.judge import Asked, Judge, ask_judge, schema_of
from stillhouse.evals.metric import Metric
from stillhouse.evals.scores import COUNT, Column, Scores

LOWEST, HIGHEST = 1, 5
SCHEMA = schema_of("score", {"type": "integer", "minimum": LOWEST, "maximum": HIGHEST})
FIDELITY = "context_fidelity"


def fidelity_question(example: Example, answer: str) -> Asked:
    """What a judge sees of a prompt that was rewritten in a context.

    Args:
        example: the system messages are the context, the last user message is the original.
        answer: the rewritten text.

    Returns:
        A question for `own_prompt("context_fidelity")`.
    """
    context = [turn.content for turn in example.prompt if turn.role == "system"]
    original = [turn.content for turn in example.prompt if turn.role == "user"]
    parts = {
        "Context": "\n\n".join(context),
        "Original": original[-1] if original else "",
        "Rewritten": answer,
    }
    return Asked(example.example_id, parts)


def score_fidelity(
    judge: Judge, examples: Sequence[Example], answers: Sequence[str]
) -> dict[str, Column]:
    """The columns of context fidelity, one answer an example.

    Args:
        judge: with `own_prompt("context_fidelity")` or a prompt of the same form.
        examples: whose prompts were rewritten.
        answers: the rewritten texts.

    Returns:
        `context_fidelity`: (N,) 1 to 5, 0 where the score is missing. `context_fidelity_judged`:
        (N,) 1 where there is one. `context_fidelity_missing`: (N,) 1 where there is none.

    Raises:
        InputError: not one answer an example, or an example has no context.
    """
    if len(examples) != len(answers):
        raise InputError(f"{len(examples)} examples have {len(answers)} answers")
    questions = [fidelity_question(*pair) for pair in zip(examples, answers, strict=True)]
    without = [one.example_id for one in questions if not one.parts["Context"].strip()]
    if without:
        raise InputError(
            f"{len(without)} examples have no context to keep to, such as {without[0]}",
            "the context is the system message",
        )
    return score_rubric(judge, questions, FIDELITY)


def score_rubric(judge: Judge, questions: Sequence[Asked], name: str) -> dict[str, Column]:
    """The columns of a rubric's scores.

    Args:
        judge: its prompt holds the rubric, and asks for `reason` and `score`.
        questions: one an example.
        name: of the column.

    Returns:
        As `score_fidelity`, under that name. What is no whole number from 1 to 5 is missing.
    """
    said = ask_judge(judge, questions, SCHEMA)
    scores = [0.0 if one is None else float(one["score"]) for one in said]
    judged = np.array([float(one is not None) for one in said])
    return {name: np.array(scores), f"{name}_judged": judged, f"{name}_missing": 1.0 - judged}


def both_judged(own: Scores, other: Scores, name: str = FIDELITY) -> tuple[Scores, Scores]:
    """The same scores, with an example left out of both where one of them is missing.

    Args:
        own: the candidate's.
        other: of whom it is compared with, on the same examples.
        name: of the rubric's column.

    Returns:
        Both, for a comparison that is paired to the last example.

    Raises:
        InputError: the two were measured on different examples.
    """
    if own.example_ids != other.example_ids:
        raise InputError("the two candidates were measured on different examples")
    counted = f"{name}_judged"
    both = own.column(counted) * other.column(counted)
    first, second = (
        replace(scores, columns={**scores.columns, name: scores.column(name) * both, counted: both})
        for scores in (own, other)
    )
    return first, second


METRICS = (
    Metric(
        FIDELITY,
        "Context fidelity",
        "higher",
        "Mean score, 1 to 5, of how well rewritten prompts keep to their context, by a judge; "
        "missing scores are left out and counted.",
        (FIDELITY, f"{FIDELITY}_judged"),
        counted=f"{FIDELITY}_judged",
        unit="of 5",
        scale=(float(LOWEST), float(HIGHEST)),
    ),
    Metric(
        f"{FIDELITY}_missing",
        "Missing fidelity scores",
        "lower",
        "Share of answers that the judge left without a score that can be read.",
        (f"{FIDELITY}_missing", COUNT),
        is_fraction=True,
    ),
)
