"""Anthropic's Messages API as an engine.

Version 2026-10-21 of the API takes no sampling field at all, nor do the newer models under any
version; 2023-06-01 is for older models that take a temperature. What cannot be sent is refused
before anything is asked, never left out in silence.

Source: https://platform.claude.com/docs/en/api/messages, .../api/migration-2026-10-21,
.../build-with-claude/thinking-troubleshooting, .../build-with-claude/structured-outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stillhouse.core.errors import UsageError
from stillhouse.core.rows import Message, ToolCall
from stillhouse.engines.capabilities import Capabilities
from stillhouse.engines.keys import Key
from stillhouse.engines.prices import Price
from stillhouse.engines.reading import as_json, count, dicts, plain_text, tokens
from stillhouse.engines.remote import Home, RemoteEngine
from stillhouse.engines.wire import Asking, End, Endpoint, Said, part_system, refuse_fields
from stillhouse.store.ledger import Usage

_NO_SAMPLING, _WITH_TEMPERATURE = "2026-10-21", "2023-06-01"

_LEAST_THINKING = 1024
"""paper: the API's own reference, `budget_tokens`."""

_ENDS: dict[str, End] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}

_PLAIN_KEYWORDS = {
    "type", "enum", "const", "default", "title", "description", "required", "$ref",
}  # fmt: skip


class AnthropicWire:
    """The format of one model.

    Args:
        endpoint: complete; its dialect is a version of the API.
        price: of the model.

    Raises:
        UsageError: no such version, or a budget of thinking that is too small.
    """

    capabilities = Capabilities(text=True, own_logprobs=False, scoring=False, full_logits=False)

    def __init__(self, endpoint: Endpoint, price: Price) -> None:
        if endpoint.dialect not in (_NO_SAMPLING, _WITH_TEMPERATURE):
            raise UsageError(
                f"no version {endpoint.dialect!r} of Anthropic's API is known",
                f"use {_NO_SAMPLING}, or {_WITH_TEMPERATURE} for a model that takes a temperature",
            )
        self.provider = endpoint.provider
        self.model = endpoint.model
        self.url = endpoint.base_url.rstrip("/") + "/v1/messages"
        self.price = price
        self._version = endpoint.dialect
        self._thinking = claude_thinking(endpoint)

    def headers(self, key: Key) -> dict[str, str]:
        """Of a request, the key among them."""
        plain = {"Content-Type": "application/json", "anthropic-version": self._version}
        return plain if key.secret is None else plain | {"x-api-key": key.secret.reveal()}

    def usage(self, value: Mapping[str, Any]) -> Usage | None:
        """What a reply says it used; what was read from the cache is part of the prompt.

        Nothing is ever written to the cache, which would cost more, because no request asks it.
        """
        told = value.get("usage")
        if not isinstance(told, dict):
            return None
        fresh, written = tokens(told.get("input_tokens")), tokens(told.get("output_tokens"))
        if fresh is None or written is None:
            return None
        cached = count(told.get("cache_read_input_tokens"))
        stored = count(told.get("cache_creation_input_tokens"))
        return Usage(fresh + cached + stored, written, cached)

    def has_answer(self, value: Mapping[str, Any]) -> bool:
        """The reply is a message with blocks."""
        return value.get("type") == "message" and isinstance(value.get("content"), list)

    def body(self, messages: Sequence[Message], asking: Asking) -> dict[str, Any]:
        """The request; a `UsageError` for what the API cannot be asked."""
        system, turns = part_system(messages, self.provider)
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": asking.sampling.max_new_tokens,
            "messages": [{"role": one.role, "content": one.content} for one in turns],
            "stream": False,
            **({"system": system} if system else {}),
            **self._thinking,
            **self._sampling(asking),
        }
        if asking.decoding.stop:
            body["stop_sequences"] = list(asking.decoding.stop)
        if asking.schema is not None:
            body["output_config"] = {
                "format": {"type": "json_schema", "schema": closed_schema(asking.schema)}
            }
        return body

    def read(self, value: Mapping[str, Any]) -> Said:
        """What a reply that `has_answer` says."""
        blocks = dicts(value["content"])
        used = value.get("usage")
        used = used if isinstance(used, dict) else {}
        details = used.get("output_tokens_details")
        thought = count(details.get("thinking_tokens")) if isinstance(details, dict) else 0
        return Said(
            _joined(blocks, "text", "text"),
            _ENDS.get(str(value.get("stop_reason")), "unknown"),
            count(used.get("output_tokens")),
            reasoning=_joined(blocks, "thinking", "thinking"),
            has_thought=thought > 0
            or any(one.get("type") in ("thinking", "redacted_thinking") for one in blocks),
            tool_calls=tuple(
                ToolCall(plain_text(one.get("name")), as_json(one.get("input")))
                for one in blocks
                if one.get("type") == "tool_use"
            ),
        )

    def _sampling(self, asking: Asking) -> dict[str, Any]:
        if self._version == _NO_SAMPLING or asking.thinking == "on":
            refuse_fields(asking, f"{self.model} under version {self._version}")
            return {}
        refuse_fields(asking, self.provider, "temperature", "top_p")
        top_p = asking.decoding.top_p
        # several models refuse the two together
        return {"temperature": asking.sampling.temperature} | (
            {"top_p": top_p} if top_p != 1.0 else {}
        )


class AnthropicEngine(RemoteEngine):
    """Claude at Anthropic's own address."""

    home = Home(AnthropicWire, "anthropic", "https://api.anthropic.com", _NO_SAMPLING)


def claude_thinking(endpoint: Endpoint) -> dict[str, Any]:
    """The field that switches Claude's thinking.

    Args:
        endpoint: with `thinking_tokens` for models that think within a budget (4.5 and before);
            0 lets the model decide, which newer ones demand.

    Returns:
        Nothing for a model that cannot think.

    Raises:
        UsageError: the budget is below what the API takes.
    """
    if endpoint.thinking == "never":
        return {}
    if endpoint.thinking == "off":
        return {"thinking": {"type": "disabled"}}
    if endpoint.thinking_tokens == 0:
        return {"thinking": {"type": "adaptive", "display": "summarized"}}
    if endpoint.thinking_tokens < _LEAST_THINKING:
        raise UsageError(
            f"thinking_tokens is {endpoint.thinking_tokens}",
            f"Claude takes {_LEAST_THINKING} or more, and 0 to decide by itself",
        )
    return {"thinking": {"type": "enabled", "budget_tokens": endpoint.thinking_tokens}}


def closed_schema(schema: Mapping[str, Any] | bool) -> dict[str, Any]:
    """A JSON schema in the subset that Claude's decoding can be held to.

    Bounds of numbers and lengths are not in it; they are checked on what comes back.

    Args:
        schema: as pydantic writes it.

    Returns:
        The same shape, every object closed.

    Raises:
        UsageError: an object that may hold what it does not name; closed, it could hold nothing.
    """
    if not isinstance(schema, Mapping):  # `true`, which anything fits
        return {}
    _refuse_open(schema)
    found: dict[str, Any] = {name: schema[name] for name in schema if name in _PLAIN_KEYWORDS}
    for name in ("properties", "$defs"):
        if name in schema:
            found[name] = {key: closed_schema(one) for key, one in schema[name].items()}
    for name in ("anyOf", "allOf"):
        if name in schema:
            found[name] = [closed_schema(one) for one in schema[name]]
    if "items" in schema:
        found["items"] = closed_schema(schema["items"])
    if schema.get("type") == "object":
        found["additionalProperties"] = False
    return found


def _refuse_open(schema: Mapping[str, Any]) -> None:
    is_open = schema.get("additionalProperties") not in (None, False)
    if schema.get("type") == "object" and (is_open or not schema.get("properties")):
        raise UsageError(
            "Claude can be held to closed objects only, and the schema has one without named "
            "properties, or with further ones",
            "name every property under properties, with additionalProperties: false",
        )


def _joined(blocks: Sequence[Mapping[str, Any]], kind: str, name: str) -> str:
    return "".join(plain_text(one.get(name)) for one in blocks if one.get("type") == kind)
