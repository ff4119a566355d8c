"""Whether a teacher's answer may be learned: its schema, its style, its agreement with repeats."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jsonschema.validators import Draft202012Validator

from stillhouse.core.rows import Completion
from stillhouse.data.style_references import has_style_reference
from stillhouse.recipes.labels import STYLE_REFERENCES

WRONG_SCHEMA, WRONG_STYLE = "wrong_schema", "wrong_style"
INCONSISTENT, OUTVOTED = "inconsistent", "outvoted"
"""Reasons why an answer that came whole is not learned, beside those of an engine."""

_MOST_PROBLEMS = 10  # assumption: a model mends no more at a time
_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n?```\s*", re.S)


class AnswerChecks:
    """What an answer must be.

    Args:
        schema: a JSON Schema; None for any text.
        patterns: regular expressions of which none may be found, upper and lower case alike;
            `style references` stands for every phrase of `data/style_references.py`.
    """

    def __init__(self, schema: Mapping[str, Any] | None, patterns: Sequence[str]) -> None:
        self._validator = Draft202012Validator(schema) if schema is not None else None
        self._rejects: list[Callable[[str], object]] = [
            has_style_reference
            if pattern == STYLE_REFERENCES
            else re.compile(pattern, re.IGNORECASE).search
            for pattern in patterns
        ]

    def problems(self, text: str) -> str:
        """What does not fit the schema, a line each; empty when all does.

        Args:
            text: of the answer; a fence of Markdown around it is no problem.

        Returns:
            For whoever must mend it.
        """
        if self._validator is None:
            return ""
        try:
            value = json.loads(without_fence(text))
        except (ValueError, RecursionError) as error:
            return f"- answer: no JSON: {error}"
        found = sorted(self._validator.iter_errors(value), key=lambda error: error.json_path)
        return "\n".join(f"- {one.json_path}: {one.message}" for one in found[:_MOST_PROBLEMS])

    def judge(self, completion: Completion) -> Completion:
        """The same, ended as an error with the reason where it may not be learned.

        Args:
            completion: as the engine gave it; one that is no whole answer stays as it is.

        Returns:
            With a fence around JSON taken off.
        """
        if completion.finish != "stop":
            return completion
        if self.problems(completion.text):
            return replace(completion, finish="error", reason=WRONG_SCHEMA)
        if any(rejects(completion.text) for rejects in self._rejects):
            return replace(completion, finish="error", reason=WRONG_STYLE)
        if self._validator is not None:
            return replace(completion, text=without_fence(completion.text))
        return completion


def without_fence(text: str) -> str:
    """The text inside a Markdown code fence that is all there is; else the text."""
    fenced = _FENCE.fullmatch(text)
    return fenced[1] if fenced else text


def elect(answers: Sequence[Completion], repeats: int, at_least: float) -> list[Completion]:
    """The answers to one prompt, of which at most one is still to be learned.

    Args:
        answers: all that came; unusable ones count as disagreeing.
        repeats: how many were wanted; those that did not come count as disagreeing too.
        at_least: the share of them that must agree on the answer that is learned, in (0, 1].

    Returns:
        The same in their order; the first of those that most agree on keeps its finish, the other
        whole ones end as errors. JSON is compared by value, other text without regard to blanks.
        Of equally many, those that came first win.
    """
    whole = [answer for answer in answers if answer.finish == "stop"]
    votes = Counter(_canonical(answer.text) for answer in whole)
    winner, count = votes.most_common(1)[0] if votes else ("", 0)
    agrees = bool(answers) and count / max(repeats, len(answers)) >= at_least
    chosen = next((one for one in whole if agrees and _canonical(one.text) == winner), None)
    reason = OUTVOTED if agrees else INCONSISTENT
    return [
        answer
        if answer is chosen or answer.finish != "stop"
        else replace(answer, finish="error", reason=reason)
        for answer in answers
    ]


def _canonical(text: str) -> str:
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except (ValueError, RecursionError):
        return " ".join(text.split())
