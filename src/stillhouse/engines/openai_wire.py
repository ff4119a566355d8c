"""OpenAI's chat completions on the wire: the request we send, the reply we read.

Source: https://platform.openai.com/docs/api-reference/chat; for prompt log-probabilities
https://docs.vllm.ai (`prompt_logprobs` of `ChatCompletionRequest`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from stillhouse.core.errors import UsageError
from stillhouse.core.rows import Message, ToolCall
from stillhouse.engines.capabilities import Capabilities
from stillhouse.engines.dialects import DIALECTS, thinking_fields
from stillhouse.engines.keys import Key
from stillhouse.engines.prices import Price
from stillhouse.engines.reading import (
    count,
    dicts,
    part_thinking,
    plain_text,
    read_logprobs,
    tokens,
)
from stillhouse.engines.wire import Asking, Decoding, End, Endpoint, Said
from stillhouse.store.ledger import Usage

_NAME = re.compile(r"[^A-Za-z0-9_-]")
"""What the name of a schema may not hold."""

_ENDS: dict[str, End] = {
    "stop": "stop",
    "tool_calls": "stop",
    "function_call": "stop",
    "length": "length",
    "content_filter": "refusal",
}


class OpenAIWire:
    """The format of one model at one address.

    Args:
        endpoint: complete; its address ends in `/v1` most often.
        price: of the model.

    Raises:
        UsageError: no such dialect, or no way to switch thinking.
    """

    def __init__(self, endpoint: Endpoint, price: Price) -> None:
        dialect = DIALECTS.get(endpoint.dialect)
        if dialect is None:
            raise UsageError(
                f"no server of kind {endpoint.dialect!r} is known", f"use {', '.join(DIALECTS)}"
            )
        thinking_fields(dialect, endpoint.thinking)
        self.provider = endpoint.provider
        self.model = endpoint.model
        self.url = endpoint.base_url.rstrip("/") + "/chat/completions"
        self.dialect = dialect
        self.price = price
        self.capabilities = Capabilities(
            text=True,
            own_logprobs=dialect.top_logprobs > 0,
            scoring=False,
            full_logits=False,
            top_logprobs=dialect.top_logprobs,
            prompt_logprobs=dialect.has_prompt_logprobs,
        )

    def headers(self, key: Key) -> dict[str, str]:
        """Of a request, the key among them."""
        plain = {"Content-Type": "application/json", "Accept": "application/json"}
        if key.secret is None:
            return plain
        return plain | {"Authorization": f"Bearer {key.secret.reveal()}"}

    def usage(self, value: Mapping[str, Any]) -> Usage | None:
        """What a reply says it used; None when it does not say."""
        told = value.get("usage")
        if not isinstance(told, dict):
            return None
        prompt, completion = (
            tokens(told.get("prompt_tokens")),
            tokens(told.get("completion_tokens")),
        )
        if prompt is None or completion is None:
            return None
        details = told.get("prompt_tokens_details") or {}
        cached = details.get("cached_tokens") if isinstance(details, dict) else 0
        return Usage(prompt, completion, min(count(cached), prompt))

    def has_answer(self, value: Mapping[str, Any]) -> bool:
        """The reply has one choice with a message."""
        choices = value.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        return isinstance(first, dict) and isinstance(first.get("message"), dict)

    def body(self, messages: Sequence[Message], asking: Asking) -> dict[str, Any]:
        """The request; a `UsageError` for what the server cannot be asked."""
        dialect = self.dialect
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
            body |= _sampling_fields(asking)
        if asking.decoding.top_logprobs >= 0:
            body |= {"logprobs": True, "top_logprobs": asking.decoding.top_logprobs}
        if asking.schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {
                    "name": _NAME.sub("_", str(asking.schema.get("title", "")))[:64] or "answer",
                    "schema": dict(asking.schema),
                },
            }
        if asking.prompt_logprobs >= 0:
            body |= {
                "prompt_logprobs": asking.prompt_logprobs,
                "add_generation_prompt": False,
                "return_token_ids": True,
            }
        return body

    def read(self, value: Mapping[str, Any]) -> Said:
        """What a reply that `has_answer` says."""
        choice = value["choices"][0]
        message = choice["message"]
        shown = message.get("reasoning") or message.get("reasoning_content") or ""
        text, thought = part_thinking(_text(message.get("content")))
        used = value.get("usage")
        told = choice.get("logprobs")
        return Said(
            text,
            "refusal"
            if message.get("refusal")
            else _ENDS.get(str(choice.get("finish_reason")), "unknown"),
            count(used.get("completion_tokens")) if isinstance(used, dict) else 0,
            reasoning=_text(shown) or thought,
            tool_calls=_tool_calls(message),
            logprobs=read_logprobs(told.get("content") if isinstance(told, dict) else None),
        )


def _text(content: Any) -> str:
    if isinstance(content, list):  # parts, as some servers write them
        return "".join(plain_text(part.get("text")) for part in dicts(content))
    return plain_text(content)


def _tool_calls(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    functions = dicts([call.get("function") or {} for call in dicts(message.get("tool_calls"))])
    return tuple(
        ToolCall(plain_text(one.get("name")), plain_text(one.get("arguments"))) for one in functions
    )


def _sampling_fields(asking: Asking) -> dict[str, Any]:
    decoding = asking.decoding
    return {
        "temperature": asking.sampling.temperature,
        "top_p": decoding.top_p,
        "presence_penalty": decoding.presence_penalty,
        "frequency_penalty": decoding.frequency_penalty,
        "seed": decoding.seed,
        **({"stop": list(decoding.stop)} if decoding.stop else {}),
    }


def _refuse_sampling(asking: Asking) -> None:
    plain = Decoding(seed=asking.decoding.seed)
    if asking.sampling.temperature != 1.0 or asking.decoding != plain:
        raise UsageError(
            "a model of this provider takes no sampling fields while it thinks",
            "set temperature: 1.0 and leave the other fields out, or say thinking: off",
        )
