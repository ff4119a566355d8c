"""Ollama's own API as an engine: everything that its OpenAI form leaves to the Modelfile is told.

A prompt that does not fit is an error, where Ollama by itself cuts its head off in silence.

Source: https://docs.ollama.com/api, https://docs.ollama.com/openapi.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stillhouse.core.errors import UsageError
from stillhouse.core.rows import Message, ToolCall
from stillhouse.engines.capabilities import Capabilities
from stillhouse.engines.keys import Key
from stillhouse.engines.prices import FREE, Price
from stillhouse.engines.reading import (
    as_json,
    count,
    dicts,
    part_thinking,
    plain_text,
    read_logprobs,
    tokens,
)
from stillhouse.engines.remote import Home, RemoteEngine
from stillhouse.engines.wire import Asking, End, Endpoint, Said, part_system
from stillhouse.store.ledger import Usage

_CHAT, _GENERATE = "chat", "generate"
_PATHS = {_CHAT: "/api/chat", _GENERATE: "/api/generate"}
_ENDS: dict[str, End] = {"stop": "stop", "length": "length"}
_THINK = {"on": {"think": True}, "off": {"think": False}, "never": {}}


class OllamaWire:
    """The format of one model.

    Args:
        endpoint: complete; its dialect is `chat`, or `generate` for single questions.
        price: of the model.

    Raises:
        UsageError: no such dialect, or no context length.
    """

    capabilities = Capabilities(
        text=True, own_logprobs=True, scoring=False, full_logits=False, top_logprobs=20
    )

    def __init__(self, endpoint: Endpoint, price: Price) -> None:
        if endpoint.dialect not in _PATHS:
            raise UsageError(
                f"no form {endpoint.dialect!r} of Ollama's API is known", f"use {', '.join(_PATHS)}"
            )
        if endpoint.context_tokens <= 0:
            raise UsageError(
                "Ollama must be told how much context to reserve",
                "write context_tokens: room for the longest prompt and its answer",
            )
        self.provider = endpoint.provider
        self.model = endpoint.model
        self.url = endpoint.base_url.rstrip("/") + _PATHS[endpoint.dialect]
        self.price = price
        self._has_turns = endpoint.dialect == _CHAT
        self._context_tokens = endpoint.context_tokens

    def headers(self, key: Key) -> dict[str, str]:
        """Of a request; a key is for servers behind a proxy that asks for one."""
        plain = {"Content-Type": "application/json"}
        if key.secret is None:
            return plain
        return plain | {"Authorization": f"Bearer {key.secret.reveal()}"}

    def usage(self, value: Mapping[str, Any]) -> Usage | None:
        """What a reply says it used; None when it does not say."""
        prompt, written = tokens(value.get("prompt_eval_count")), tokens(value.get("eval_count"))
        if prompt is None or written is None:
            return None
        return Usage(prompt, written)

    def has_answer(self, value: Mapping[str, Any]) -> bool:
        """The reply is the last one, with a text."""
        if value.get("done") is not True:
            return False
        kind = dict if self._has_turns else str
        return isinstance(value.get("message" if self._has_turns else "response"), kind)

    def body(self, messages: Sequence[Message], asking: Asking) -> dict[str, Any]:
        """The request; a `UsageError` for what the server cannot be asked."""
        body: dict[str, Any] = {
            "model": self.model,
            "stream": False,
            "truncate": False,
            "shift": False,
            "options": self._options(asking),
            **self._prompt(messages, asking),
            **_THINK[asking.thinking],
        }
        if asking.decoding.top_logprobs >= 0:
            body |= {"logprobs": True, "top_logprobs": asking.decoding.top_logprobs}
        if asking.schema is not None:
            body["format"] = dict(asking.schema)
        return body

    def read(self, value: Mapping[str, Any]) -> Said:
        """What a reply that `has_answer` says."""
        told = value["message"] if self._has_turns else value
        said = plain_text(told.get("content" if self._has_turns else "response"))
        text, thought = part_thinking(said)
        calls = dicts([one.get("function") for one in dicts(told.get("tool_calls"))])
        return Said(
            text,
            _ENDS.get(str(value.get("done_reason")), "unknown"),
            count(value.get("eval_count")),
            reasoning=plain_text(told.get("thinking")) or thought,
            tool_calls=tuple(
                ToolCall(plain_text(one.get("name")), as_json(one.get("arguments") or {}))
                for one in calls
            ),
            logprobs=read_logprobs(value.get("logprobs")),
        )

    def _prompt(self, messages: Sequence[Message], asking: Asking) -> dict[str, Any]:
        if self._has_turns:
            turns = [{"role": one.role, "content": one.content} for one in messages]
            return {"messages": turns}
        system, rest = part_system(messages, "the generate form of Ollama's API")
        if len(rest) != 1 or asking.schema is not None:
            raise UsageError(
                "the generate form of Ollama's API holds one question and no conversation",
                "use dialect: chat, which can also send back an answer to be mended",
            )
        return {"prompt": rest[0].content, "system": system}

    def _options(self, asking: Asking) -> dict[str, Any]:
        decoding = asking.decoding
        if asking.sampling.max_new_tokens >= self._context_tokens:
            raise UsageError(
                f"max_new_tokens {asking.sampling.max_new_tokens} leaves no room for a prompt in "
                f"context_tokens {self._context_tokens}",
                "raise context_tokens, or ask for shorter answers",
            )
        return {
            "num_ctx": self._context_tokens,
            "num_predict": asking.sampling.max_new_tokens,
            "temperature": asking.sampling.temperature,
            "top_p": decoding.top_p,
            "top_k": 0,
            "min_p": 0.0,
            "typical_p": 1.0,
            "repeat_penalty": 1.0,
            "presence_penalty": decoding.presence_penalty,
            "frequency_penalty": decoding.frequency_penalty,
            "seed": decoding.seed,
            "stop": list(decoding.stop),
        }


class OllamaEngine(RemoteEngine):
    """A model that Ollama serves, most often on this machine, for nothing."""

    home = Home(OllamaWire, "ollama", "http://127.0.0.1:11434", _CHAT, FREE)
