"""An engine that answers as it is told to, the same every time: for tests, ours and yours.

    teacher = FakeEngine(by_table({"What is 1 + 1?": "2"}), faults={"e7": "refusal"})

It stands for any remote engine: the same methods, the same names for what goes wrong, no network,
no key, no account, no model.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from stillhouse.core.errors import UsageError
from stillhouse.core.protocols import Progress, no_progress
from stillhouse.core.rows import Message, OwnLogprob
from stillhouse.engines.capabilities import Capabilities
from stillhouse.engines.gateway import Question
from stillhouse.engines.keys import Key
from stillhouse.engines.ordered import Pace
from stillhouse.engines.outcomes import ENDS, FLAWS, REASONS, Answer, Deferred
from stillhouse.engines.prices import FREE
from stillhouse.engines.remote import AskingEngine
from stillhouse.engines.wire import Asking, End, Endpoint, Said
from stillhouse.store.ledger import Usage

Say = Callable[[Sequence[Message], int], str]
"""The answer to a conversation, and to which of several askings of it."""

_TOKEN = re.compile(r"\s*\S+")
_WORDS = ("a", "river", "stone", "light", "under", "slow", "morning", "then", "old", "songs")
_CAN_FAIL = {*REASONS, *ENDS, *FLAWS} - {"wrong_schema"}
_FLAWED: dict[str, End] = {"refusal": "refusal", "no_finish_reason": "unknown"}


def by_table(answers: Mapping[str, str]) -> Say:
    """Answers looked up by the last turn.

    Args:
        answers: by the text of the last message.

    Returns:
        What a `FakeEngine` says; a `UsageError` for a question that is not in the table.
    """

    def say(messages: Sequence[Message], _: int) -> str:
        asked = messages[-1].content
        if asked not in answers:
            raise UsageError(
                f"the fake engine has no answer to {asked[:60]!r}", "write it into the table"
            )
        return answers[asked]

    return say


def by_seed(seed: int, num_words: int = 12) -> Say:
    """Answers of plain words, drawn by the conversation and the seed.

    Args:
        seed: another one, other answers.
        num_words: the most in one answer.

    Returns:
        What a `FakeEngine` says.
    """

    def say(messages: Sequence[Message], index: int) -> str:
        told = [[one.role, one.content] for one in messages]
        draw = random.Random(f"{seed}:{index}:{json.dumps(told)}")
        return " ".join(draw.choice(_WORDS) for _ in range(draw.randint(1, num_words)))

    return say


class FakeEngine(AskingEngine["_FakeGate"]):
    """Answers by rule; a `Generator`.

    Args:
        say: the answers.
        faults: what goes wrong, by the example's id: a word of `outcomes.REASONS` or
            `outcomes.ENDS` for a question without an answer, one of `outcomes.FLAWS` for a bad
            answer.
        endpoint: thinking and decoding, as of a real model; the model's name is not looked at.
        progress: told after each answer.

    Raises:
        UsageError: a fault has no such name.
    """

    def __init__(
        self,
        say: Say,
        faults: Mapping[str, str] | None = None,
        endpoint: Endpoint | None = None,
        progress: Progress = no_progress,
    ) -> None:
        for fault in (faults or {}).values():
            if fault not in _CAN_FAIL:
                raise UsageError(f"nothing fails as {fault!r}", f"use {', '.join(_CAN_FAIL)}")
        gate = _FakeGate(say, faults or {})
        super().__init__(_FakeWire(), endpoint or Endpoint("fake"), Pace(1), lambda: gate, progress)
        self._gate = gate

    @property
    def num_asked(self) -> int:
        """Questions so far."""
        return self._gate.num_asked


class _FakeWire:
    provider, model, url, price = "fake", "fake", "", FREE
    capabilities = Capabilities(
        text=True, own_logprobs=True, scoring=False, full_logits=False, top_logprobs=20
    )

    def headers(self, key: Key) -> dict[str, str]:  # noqa: ARG002
        return {}

    def usage(self, value: Mapping[str, Any]) -> Usage | None:  # noqa: ARG002
        return None

    def has_answer(self, value: Mapping[str, Any]) -> bool:
        return "text" in value

    def body(self, messages: Sequence[Message], asking: Asking) -> dict[str, Any]:
        return {
            "messages": [[one.role, one.content] for one in messages],
            "num_tokens": asking.sampling.max_new_tokens,
            "thinks": asking.thinking == "on",
            "top_logprobs": asking.decoding.top_logprobs,
        }

    def read(self, value: Mapping[str, Any]) -> Said:
        fault, asked = value["fault"], value["asked"]
        words = _TOKEN.findall(value["text"])
        tokens = words[: asked["num_tokens"]]
        whole: End = "stop" if len(tokens) == len(words) else "length"
        has_thought = asked["thinks"] or fault == "unexpected_thinking"
        return Said(
            "" if fault in ("refusal", "empty_answer") else "".join(tokens),
            _FLAWED.get(fault, whole),
            len(tokens),
            reasoning="Let me think." if has_thought else "",
            logprobs=() if fault == "no_logprobs" else _logprobs(tokens, asked["top_logprobs"]),
        )


class _FakeGate:
    def __init__(self, say: Say, faults: Mapping[str, str]) -> None:
        self._say = say
        self._faults = faults
        self.num_asked = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to close."""

    async def ask(self, question: Question) -> Answer | Deferred:
        self.num_asked += 1
        fault = self._faults.get(question.example_id, "")
        if fault in REASONS or fault in ENDS:
            return Deferred(fault, 1)
        asked = json.loads(question.body)
        messages = [Message(role, content) for role, content in asked["messages"]]
        text = self._say(messages, question.sample_index)
        value = {"text": text, "fault": fault, "asked": asked}
        return Answer(value, Usage(0, 0), 0, self.num_asked, was_kept=False)

    def accept(self, answer: Answer, is_accepted: bool) -> None:
        """Nobody keeps an account."""


def _logprobs(tokens: Sequence[str], top: int) -> tuple[OwnLogprob, ...]:
    return tuple(_logprob(token, top) for token in tokens) if top >= 0 else ()


def _logprob(token: str, top: int) -> OwnLogprob:
    prob = 0.5 + (hashlib.sha256(token.encode()).digest()[0] + 0.5) / 512
    own = (token.encode(), math.log(prob))
    # each next entry has half of what is left: all of them together never exceed 1
    others = [
        (f" other{rank}".encode(), math.log((1.0 - prob) / 2.0**rank)) for rank in range(1, top)
    ]
    return OwnLogprob(*own, tuple([own, *others][:top]))
