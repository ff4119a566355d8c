"""OpenAI's chat completions on the wire: the request we send, the reply we read.

Source: https://platform.openai.com/docs/api-reference/chat; for prompt log-probabilities
https://docs.vllm.ai (`prompt_logprobs` of `ChatCompletionRequest`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stillhouse.core.errors import UsageError
from stillhouse.core.hashing import digest_value
from stillhouse.core.rows import Completion, Message, OwnLogprob, ToolCall
from stillhouse.core.sampling import Sampling
from stillhouse.engines.dialects import Dialect, Thinking, thinking_fields
from stillhouse.engines.gateway import Question
from stillhouse.engines.keys import Key
from stillhouse.engines.prices import Price
from stillhouse.store.ledger import Usage

_FORMAT = 1
"""Raised when the same question would get another meaning; old answers are then not found."""

_TEMPLATE_TOKENS = 32
"""Tokens that a chat template may add to a message. assumption: names of roles and markers."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """Sampling fields beside those of `Sampling`; all of them are sent.

    Attributes:
        top_p: tokens that make up this probability are drawn from.
        presence_penalty: on tokens that were there.
        frequency_penalty: on tokens by how often they were there.
        stop: texts that end an answer.
        seed: of the first answer to a prompt; the next answer's is one more.
        top_logprobs: so many entries a token; -1 asks for no log-probabilities.
    """

    top_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    top_logprobs: int = -1


@dataclass(frozen=True, slots=True)
class Asking:
    """What every question of one stage shares.

    Attributes:
        sampling: length and temperature.
        decoding: the other fields.
        thinking: told or not.
        response_format: a JSON schema as OpenAI takes it; empty for free text.
        prompt: name, version and digest of the prompt template; part of every key.
        prompt_logprobs: entries a token of the prompt; -1 asks for none.
    """

    sampling: Sampling
    decoding: Decoding
    thinking: Thinking = "never"
    response_format: Mapping[str, Any] | None = None
    prompt: str = ""
    prompt_logprobs: int = -1


class OpenAIWire:
    """The format of one model at one address.

    Args:
        provider: whose limits hold and whose prices count.
        model: its name there.
        base_url: ends in `/v1` most often.
        dialect: of the server.
        price: of the model.
    """

    def __init__(
        self, provider: str, model: str, base_url: str, dialect: Dialect, price: Price
    ) -> None:
        self.provider = provider
        self.model = model
        self.url = base_url.rstrip("/") + "/chat/completions"
        self.dialect = dialect
        self.price = price

    def headers(self, key: Key) -> dict[str, str]:
        """Of a request, the key among them."""
        plain = {"Content-Type": "application/json", "Accept": "application/json"}
        if key.secret is None:
            return plain
        return plain | {"Authorization": f"Bearer {key.secret.reveal()}"}

    def question(
        self, example_id: str, messages: Sequence[Message], asking: Asking, sample_index: int = 0
    ) -> Question:
        """One question, ready to send.

        Args:
            example_id: who asks.
            messages: the conversation.
            asking: what all questions share.
            sample_index: which of several answers.

        Returns:
            The question; its key holds everything that shapes the answer.

        Raises:
            UsageError: the server cannot be asked that.
        """
        body = self._body(messages, asking, sample_index)
        key = digest_value([_FORMAT, self.provider, self.url, body, sample_index, asking.prompt])
        upper = Usage(most_prompt_tokens(messages), asking.sampling.max_new_tokens)
        return Question(example_id, sample_index, key, json.dumps(body).encode(), upper)

    def usage(self, value: Mapping[str, Any]) -> Usage | None:
        """What a reply says it used; None when it does not say."""
        told = value.get("usage")
        if not isinstance(told, dict):
            return None
        prompt, completion = told.get("prompt_tokens"), told.get("completion_tokens")
        if not isinstance(prompt, int) or not isinstance(completion, int):
            return None
        details = told.get("prompt_tokens_details") or {}
        cached = details.get("cached_tokens") if isinstance(details, dict) else 0
        return Usage(prompt, completion, min(cached if isinstance(cached, int) else 0, prompt))

    def has_answer(self, value: Mapping[str, Any]) -> bool:
        """The reply has one choice with a message."""
        choices = value.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        return isinstance(first, dict) and isinstance(first.get("message"), dict)

    def _body(
        self, messages: Sequence[Message], asking: Asking, sample_index: int
    ) -> dict[str, Any]:
        decoding, dialect = asking.decoding, self.dialect
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": one.role, "content": one.content} for one in messages],
            "n": 1,
            "stream": False,
            dialect.max_tokens: asking.sampling.max_new_tokens,
            **dialect.neutral,
            **thinking_fields(dialect, asking.thinking),
        }
        if asking.thinking == "on" and dialect.thinks_without_sampling:
            _refuse_sampling(asking)
        else:
            body |= _sampling_fields(asking, sample_index)
        if decoding.top_logprobs >= 0:
            self._refuse_more_than(dialect.top_logprobs, decoding.top_logprobs)
            body |= {"logprobs": True, "top_logprobs": decoding.top_logprobs}
        if asking.response_format is not None:
            body["response_format"] = dict(asking.response_format)
        if asking.prompt_logprobs >= 0:
            body |= {
                "prompt_logprobs": asking.prompt_logprobs,
                "add_generation_prompt": False,
                "return_token_ids": True,
            }
        return body

    def _refuse_more_than(self, most: int, asked: int) -> None:
        if asked > most:
            raise UsageError(
                f"{asked} log-probabilities a token were asked of a {self.dialect.name!r} server",
                f"it gives {most} at most",
            )


def most_prompt_tokens(messages: Sequence[Message]) -> int:
    """More tokens than a conversation can have in any byte-level vocabulary.

    Args:
        messages: the conversation.

    Returns:
        One token a byte, and what a template may add; about four times the truth in English.
    """
    texts = (message.role + message.content for message in messages)
    return sum(len(text.encode("utf-8", "surrogatepass")) + _TEMPLATE_TOKENS for text in texts)


def read_completion(example_id: str, value: Mapping[str, Any], asking: Asking) -> Completion:
    """What a reply says, and whether it can be used.

    Args:
        example_id: whose it is.
        value: a reply that `has_answer`.
        asking: what was asked, so that what is missing is noticed.

    Returns:
        Finish `stop` for a whole answer, `length` for a cut one, else `error` with its reason.
    """
    choice = value["choices"][0]
    message = choice["message"]
    reasoning = message.get("reasoning") or message.get("reasoning_content") or ""
    text, thought = _part_thinking(_text(message.get("content")))
    used = value.get("usage") if isinstance(value.get("usage"), dict) else {}
    calls = _tool_calls(message)
    logprobs = _logprobs(choice)
    found = Completion(
        example_id,
        text,
        "stop",
        int((used or {}).get("completion_tokens") or 0),
        logprobs=logprobs,
        reasoning=_text(reasoning) or thought,
        tool_calls=calls,
    )
    return _ended(found, choice, asking)


def _ended(found: Completion, choice: Mapping[str, Any], asking: Asking) -> Completion:
    finish = choice.get("finish_reason")
    if choice["message"].get("refusal") or finish == "content_filter":
        return _error(found, "refusal")
    if found.reasoning and asking.thinking != "on":
        return _error(found, "unexpected_thinking")
    if finish == "length":
        return _with(found, "length", "")
    if finish not in ("stop", "tool_calls", "function_call"):
        return _error(found, "no_finish_reason")
    if not found.text.strip() and not found.tool_calls:
        return _error(found, "empty_answer")
    if asking.decoding.top_logprobs >= 0 and not found.logprobs:
        return _error(found, "no_logprobs")
    return found


def _error(found: Completion, reason: str) -> Completion:
    return _with(found, "error", reason)


def _with(found: Completion, finish: Any, reason: str) -> Completion:
    return Completion(
        found.example_id,
        found.text,
        finish,
        found.num_tokens,
        reason,
        found.logprobs,
        found.reasoning,
        found.tool_calls,
    )


def _text(content: Any) -> str:
    if isinstance(content, list):  # parts, as some servers write them
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _part_thinking(text: str) -> tuple[str, str]:
    # a server without a reasoning parser leaves the thoughts in the answer
    opened = text.lstrip()
    if not opened.startswith("<think>"):
        return text, ""
    thought, closed, answer = opened.removeprefix("<think>").partition("</think>")
    return (answer.lstrip("\n"), thought.strip()) if closed else ("", thought.strip())


def _tool_calls(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    calls = message.get("tool_calls") or ()
    functions = (call.get("function") or {} for call in calls if isinstance(call, dict))
    return tuple(
        ToolCall(str(one.get("name", "")), str(one.get("arguments", ""))) for one in functions
    )


def _logprobs(choice: Mapping[str, Any]) -> tuple[OwnLogprob, ...]:
    told = choice.get("logprobs")
    content = told.get("content") if isinstance(told, dict) else None
    try:
        return tuple(
            OwnLogprob(
                _token_bytes(one),
                float(one["logprob"]),
                tuple(
                    (_token_bytes(top), float(top["logprob"]))
                    for top in one.get("top_logprobs") or ()
                ),
            )
            for one in content or ()
        )
    except (KeyError, TypeError, ValueError):
        return ()


def _token_bytes(entry: Mapping[str, Any]) -> bytes:
    told = entry.get("bytes")
    return bytes(told) if told is not None else str(entry["token"]).encode("utf-8")


def _sampling_fields(asking: Asking, sample_index: int) -> dict[str, Any]:
    decoding = asking.decoding
    return {
        "temperature": asking.sampling.temperature,
        "top_p": decoding.top_p,
        "presence_penalty": decoding.presence_penalty,
        "frequency_penalty": decoding.frequency_penalty,
        "seed": decoding.seed + sample_index,
        **({"stop": list(decoding.stop)} if decoding.stop else {}),
    }


def _refuse_sampling(asking: Asking) -> None:
    plain = Decoding(seed=asking.decoding.seed)
    if asking.sampling.temperature != 1.0 or asking.decoding != plain:
        raise UsageError(
            "a model of this provider takes no sampling fields while it thinks",
            "set temperature: 1.0 and leave the other fields out, or say thinking: off",
        )
