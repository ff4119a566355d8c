"""Answers that must be more than text: of a schema, or good enough for a verifier.

An answer that does not fit its schema is sent back once, with what is wrong with it; after that
it is an error named `wrong_schema`. Of several answers to a prompt those that the verifier turns
down cost money and are not used; asking stops when enough are accepted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Protocol

from pydantic import BaseModel, ValidationError

from stillhouse.core.rows import Completion, Example, Message
from stillhouse.engines.gateway import Question
from stillhouse.engines.outcomes import Answer, Deferred
from stillhouse.engines.wire import (
    Asking,
    ChatWire,
    Demands,
    Problems,
    Verify,
    completion_of,
    question_of,
)

_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n?```\s*", re.S)
_REPAIR = (
    "Your answer does not fit what was asked for:\n{problems}\n"
    "Answer again with the corrected JSON object and nothing else."
)
_MOST_PROBLEMS = 10  # assumption: a model mends no more at a time


@dataclass(frozen=True, slots=True)
class Checked:
    """An answer and what it says.

    Attributes:
        completion: the last answer, with finish `error` when there is no value.
        value: an instance of the schema; None when none came.
        was_repaired: the first answer did not fit.
    """

    completion: Completion
    value: BaseModel | None
    was_repaired: bool = False


@dataclass(frozen=True, slots=True)
class Quota:
    """How many answers a prompt.

    Attributes:
        wanted: accepted ones.
        at_most: asked for in all.
    """

    wanted: int
    at_most: int


class Gate(Protocol):
    """What questions go through: the gateway, or in a test something within the process."""

    async def ask(self, question: Question) -> Answer | Deferred:
        """The answer, or why there is none."""

    def accept(self, answer: Answer, is_accepted: bool) -> None:
        """Note whether an answer became part of the data."""


class Asker:
    """Asks one provider through its gateway and reads what comes back.

    Args:
        gateway: open.
        wire: the provider's format.
        asking: what all questions share.
        demands: what an answer must be.
    """

    def __init__(
        self, gateway: Gate, wire: ChatWire, asking: Asking, demands: Demands | None = None
    ) -> None:
        self._gateway = gateway
        self._wire = wire
        self._asking = asking
        self._demands = demands or Demands()

    async def one(self, example: Example) -> Completion:
        """The answer to an example, mended once where the demands say that it does not fit."""
        demands, index = self._demands, self._asking.sampling.sample_index
        completion, answer, _ = await self._mended(example, demands.problems, index)
        self._note(answer, completion.finish == "stop" and demands.accept(example, completion))
        return completion

    async def checked(self, example: Example, schema: type[BaseModel]) -> Checked:
        """The answer to an example as an instance of `schema`, mended once if need be.

        Args:
            example: whose prompt is answered.
            schema: what the answer must be.

        Returns:
            The value, or a completion with the reason.
        """
        completion, answer, was_repaired = await self._mended(
            example, lambda text: _validate(text, schema)[1], self._asking.sampling.sample_index
        )
        # a cut answer may be whole all the same
        value = None if completion.finish == "error" else _validate(completion.text, schema)[0]
        self._note(answer, value is not None)
        return Checked(completion, value, was_repaired)

    async def _mended(
        self, example: Example, problems: Problems, index: int
    ) -> tuple[Completion, Answer | None, bool]:
        """An answer without problems, or one that ended as an error; was it asked for twice?"""
        completion, answer = await self._ask(example.example_id, example.prompt, index)
        # What was cut would be cut again.
        if completion.finish != "stop" or not (found := problems(completion.text)):
            return completion, answer, False
        self._note(answer, False)
        messages = (
            *example.prompt,
            Message("assistant", completion.text),
            Message("user", _REPAIR.format(problems=found)),
        )
        completion, answer = await self._ask(example.example_id, messages, index)
        if completion.finish == "stop" and problems(completion.text):
            return replace(completion, finish="error", reason="wrong_schema"), answer, True
        return completion, answer, True

    async def accepted(self, example: Example, quota: Quota, verify: Verify) -> list[Completion]:
        """Answers to an example that the verifier accepts, in the order of their index.

        Args:
            example: whose prompt is answered.
            quota: how many.
            verify: true for an answer that may be used; sees only answers with finish `stop`.

        Returns:
            At most `quota.wanted`.
        """
        good: list[Completion] = []
        for index in range(quota.at_most):
            if len(good) == quota.wanted:
                break
            completion, answer = await self._ask(example.example_id, example.prompt, index)
            if answer is None:  # deferred: the next one would be too
                break
            is_good = completion.finish == "stop" and verify(example, completion)
            self._note(answer, is_good)
            good += [completion] if is_good else []
        return good

    async def _ask(
        self, example_id: str, messages: tuple[Message, ...], index: int = 0
    ) -> tuple[Completion, Answer | None]:
        question = question_of(self._wire, example_id, messages, self._asking, index)
        outcome = await self._gateway.ask(question)
        if isinstance(outcome, Deferred):
            return Completion(example_id, "", "error", 0, outcome.reason, sample_index=index), None
        said = self._wire.read(outcome.value)
        return replace(completion_of(example_id, said, self._asking), sample_index=index), outcome

    def _note(self, answer: Answer | None, is_accepted: bool) -> None:
        # A kept answer was accounted for by whoever paid it.
        if answer is not None and not answer.was_kept:
            self._gateway.accept(answer, is_accepted)


def _validate(text: str, schema: type[BaseModel]) -> tuple[BaseModel | None, str]:
    fenced = _FENCE.fullmatch(text)
    try:
        return schema.model_validate_json(fenced[1] if fenced else text), ""
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[:_MOST_PROBLEMS]
        lines = (f"- {'.'.join(map(str, one['loc'])) or 'answer'}: {one['msg']}" for one in found)
        return None, "\n".join(lines)
