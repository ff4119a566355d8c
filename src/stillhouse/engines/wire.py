"""What every remote provider's format has in common: what is asked, and what a reply says.

A provider's module knows how its requests and replies are written. What a reply that came whole is
worth is decided here, once for all of them, so that a refusal has the same name everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from stillhouse.core.errors import UsageError
from stillhouse.core.hashing import digest_value
from stillhouse.core.rows import Completion, Example, FinishReason, Message, OwnLogprob, ToolCall
from stillhouse.core.sampling import Sampling
from stillhouse.engines.capabilities import Capabilities
from stillhouse.engines.dialects import Thinking
from stillhouse.engines.gateway import Question, Wire
from stillhouse.engines.prices import Price
from stillhouse.store.ledger import Usage

_FORMAT = 2
"""Raised when the same question would get another meaning; old answers are then not found."""

_TEMPLATE_TOKENS = 32
"""Tokens that a chat template may add to a message. assumption: names of roles and markers."""

End = Literal["stop", "length", "refusal", "unknown"]
"""How a reply ended: whole, cut, refused, or in a way that is not told or means no answer."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """Sampling fields beside those of `Sampling`; every one that a provider has is sent.

    Attributes:
        top_p: tokens that make up this probability are drawn from.
        presence_penalty: on tokens that were there.
        frequency_penalty: on tokens by how often they were there.
        stop: texts that end an answer.
        seed: of the first answer to a prompt; the next answer's is one more. Anthropic and
            Bedrock take none: their draws are not repeatable, their kept answers are.
        top_logprobs: so many entries a token; -1 asks for no log-probabilities.
    """

    top_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    top_logprobs: int = -1


Problems = Callable[[str], str]
"""What is wrong with an answer's text, a line each; empty when nothing is."""
Verify = Callable[[Example, Completion], bool]
"""True for an answer that may be used."""


def _none(_: str) -> str:
    return ""


def _all(_: Example, __: Completion) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Demands:
    """What an answer must be to count, beside being whole.

    Attributes:
        schema: a JSON schema; told to providers that can be held to one.
        problems: what is sent back once to be mended.
        accept: whether it may be used; only the account looks at it.
    """

    schema: Mapping[str, Any] | None = None
    problems: Problems = _none
    accept: Verify = _all


@dataclass(frozen=True, slots=True)
class Asking:
    """What every question of one stage shares.

    Attributes:
        sampling: length and temperature.
        decoding: the other fields.
        thinking: told or not.
        schema: a JSON schema that the answer must fit; None for free text.
        prompt: name, version and digest of the prompt template; part of every key.
        prompt_logprobs: entries a token of the prompt; -1 asks for none.
    """

    sampling: Sampling
    decoding: Decoding
    thinking: Thinking = "never"
    schema: Mapping[str, Any] | None = None
    prompt: str = ""
    prompt_logprobs: int = -1


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Which model, where, and in what manner.

    Attributes:
        model: the provider's name of it.
        base_url: of the server; empty for the provider's own.
        provider: whose limits and prices hold; addresses of one provider share both. Empty for
            the engine's own name.
        dialect: how the server differs from others of its kind; empty for the newest.
        price: per million tokens; None takes the list's.
        thinking: a model that can think is told to, or not to; never by accident.
        thinking_tokens: the most to think with, where the dialect takes such a budget.
        context_tokens: of prompt and answer together, where the server must be told.
        decoding: sampling fields beside temperature and length.
        prompt: name, version and digest of the prompt template.
        demands: what an answer to `generate` must be.
        batch: ask in batches, which cost less and may take a day.
    """

    model: str
    base_url: str = ""
    provider: str = ""
    dialect: str = ""
    price: Price | None = None
    thinking: Thinking = "never"
    thinking_tokens: int = 0
    context_tokens: int = 0
    decoding: Decoding = field(default_factory=Decoding)
    prompt: str = ""
    demands: Demands = field(default_factory=Demands)
    batch: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """What a reply says, in no provider's words.

    Attributes:
        text: the answer alone.
        end: how it ended.
        num_tokens: of everything that was written, as the provider counts.
        reasoning: thoughts, as far as they are shown.
        has_thought: it thought, shown or not.
        tool_calls: in order.
        logprobs: of its tokens.
    """

    text: str
    end: End
    num_tokens: int
    reasoning: str = ""
    has_thought: bool = False
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[OwnLogprob, ...] = ()


class ChatWire(Wire, Protocol):
    """A provider's format; beside what the gateway needs, how to ask and how to read."""

    capabilities: Capabilities

    def body(self, messages: Sequence[Message], asking: Asking) -> dict[str, Any]:
        """The request as JSON; a `UsageError` for what the provider cannot be asked.

        The seed of `asking` is that of this very answer.
        """

    def read(self, value: Mapping[str, Any]) -> Said:
        """What a reply that `has_answer` says."""


def question_of(
    wire: ChatWire, example_id: str, messages: Sequence[Message], asking: Asking, index: int = 0
) -> Question:
    """One question, ready to send.

    Args:
        wire: the provider's format.
        example_id: who asks.
        messages: the conversation.
        asking: what all questions share.
        index: which of several answers.

    Returns:
        The question; its key holds everything that shapes the answer.

    Raises:
        UsageError: the provider cannot be asked that.
    """
    _refuse_logprobs(wire, asking.decoding.top_logprobs)
    _refuse_tool_calls(messages, example_id)
    decoding = replace(asking.decoding, seed=asking.decoding.seed + index)
    body = wire.body(messages, replace(asking, decoding=decoding))
    key = digest_value([_FORMAT, wire.url, body, index, asking.prompt])
    upper = Usage(most_prompt_tokens(messages, asking.schema), asking.sampling.max_new_tokens)
    return Question(example_id, index, key, json.dumps(body).encode(), upper)


def _refuse_tool_calls(messages: Sequence[Message], example_id: str) -> None:
    if any(one.tool_calls for one in messages):
        raise UsageError(
            f"example {example_id} holds a call of a tool, which is not sent to a model behind an "
            "API",
            "keep such conversations for teachers with weights, or drop them in prepare",
        )


def completion_of(example_id: str, said: Said, asking: Asking) -> Completion:
    """Whether what a reply says can be used.

    Args:
        example_id: whose it is.
        said: by the reply.
        asking: what was asked, so that what is missing is noticed.

    Returns:
        Finish `stop` for a whole answer, `length` for a cut one, else `error` with its reason.
    """
    finish, reason = _judge(said, asking)
    return Completion(
        example_id,
        _storable(said.text),
        finish,
        said.num_tokens,
        reason,
        said.logprobs,
        _storable(said.reasoning),
        said.tool_calls,
    )


def _storable(text: str) -> str:
    """The text with U+FFFD for halves of surrogate pairs, as an emoji that was cut leaves one."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _judge(said: Said, asking: Asking) -> tuple[FinishReason, str]:
    if said.end == "refusal":
        return "error", "refusal"
    if (said.reasoning or said.has_thought) and asking.thinking != "on":
        return "error", "unexpected_thinking"
    if said.end == "length":
        return "length", ""
    if said.end == "unknown":
        return "error", "no_finish_reason"
    if not said.text.strip() and not said.tool_calls:
        return "error", "empty_answer"
    if asking.decoding.top_logprobs >= 0 and not said.logprobs:
        return "error", "no_logprobs"
    return "stop", ""


def most_prompt_tokens(messages: Sequence[Message], schema: Mapping[str, Any] | None = None) -> int:
    """More tokens than a conversation can have in any byte-level vocabulary.

    Args:
        messages: the conversation.
        schema: of the answer; some providers write it into the prompt.

    Returns:
        One token a byte, and what a template may add; about four times the truth in English.
    """
    texts = [message.role + message.content for message in messages]
    texts += [json.dumps(schema)] if schema is not None else []
    return sum(len(text.encode("utf-8", "surrogatepass")) + _TEMPLATE_TOKENS for text in texts)


def part_system(messages: Sequence[Message], provider: str) -> tuple[str, list[Message]]:
    """The system prompt apart from the turns, for providers that take it apart.

    Args:
        messages: the conversation.
        provider: for the error.

    Returns:
        The text of the system messages that open the conversation, and the other turns.

    Raises:
        UsageError: a turn that such a provider does not take as plain text.
    """
    opening = [one for one in messages if one.role == "system"]
    turns = list(messages[len(opening) :])
    for one in turns:
        if one.role not in ("user", "assistant"):
            raise UsageError(
                f"{provider} takes no turn of role {one.role!r} at that place",
                "open with the system messages; go on with user and assistant turns",
            )
    return "\n\n".join(one.content for one in opening), turns


def refuse_fields(asking: Asking, provider: str, *taken: str) -> None:
    """Refuse sampling fields that a provider does not take, unless they change nothing.

    Args:
        asking: as the recipe says.
        provider: for the error.
        *taken: names among `temperature`, `top_p`, `presence_penalty`, `frequency_penalty`.

    Raises:
        UsageError: a field has a value that cannot be sent.
    """
    decoding = asking.decoding
    given = {
        "temperature": (asking.sampling.temperature, 1.0),
        "top_p": (decoding.top_p, 1.0),
        "presence_penalty": (decoding.presence_penalty, 0.0),
        "frequency_penalty": (decoding.frequency_penalty, 0.0),
    }
    for name, (value, neutral) in given.items():
        if name not in taken and value != neutral:
            raise UsageError(
                f"{provider} takes no {name} here, and {value} was asked",
                f"set {name}: {neutral}, which is what the model does by itself",
            )


def _refuse_logprobs(wire: ChatWire, asked: int) -> None:
    can = wire.capabilities
    if asked >= 0 and not can.own_logprobs:
        raise UsageError(
            f"{wire.provider} gives no log-probabilities",
            "leave top_logprobs out, or ask a server that gives them",
        )
    if asked > can.top_logprobs:
        raise UsageError(
            f"{asked} log-probabilities a token were asked of {wire.provider}",
            f"it gives {can.top_logprobs} at most",
        )
