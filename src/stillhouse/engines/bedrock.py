"""Amazon Bedrock's Converse as an engine, with a Bedrock API key.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from stillhouse.core.errors import UsageError
from stillhouse.core.rows import Message, ToolCall
from stillhouse.engines.anthropic import claude_thinking, closed_schema
from stillhouse.engines.capabilities import Capabilities
from stillhouse.engines.keys import Key
from stillhouse.engines.prices import Price
from stillhouse.engines.reading import as_json, count, plain_text, tokens
from stillhouse.engines.remote import Home, RemoteEngine
from stillhouse.engines.wire import Asking, End, Endpoint, Said, part_system, refuse_fields
from stillhouse.store.ledger import Usage

_ANY, _CLAUDE, _OLDER_CLAUDE = "converse", "claude", "claude_with_temperature"
_SAMPLING = {_ANY: ("temperature", "top_p"), _CLAUDE: (), _OLDER_CLAUDE: ("temperature",)}

_ENDS: dict[str, End] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "refusal",
    "content_filtered": "refusal",
}


class BedrockWire:
    """The format of one model.

    Args:
        endpoint: complete; its dialect says what the model takes beside Converse's own fields.
        price: of the model.

    Raises:
        UsageError: no such dialect, or no way to switch the model's thinking.
    """

    capabilities = Capabilities(text=True, own_logprobs=False, scoring=False, full_logits=False)

    def __init__(self, endpoint: Endpoint, price: Price) -> None:
        if endpoint.dialect not in _SAMPLING:
            raise UsageError(
                f"no kind {endpoint.dialect!r} of model on Bedrock is known",
                f"use {', '.join(_SAMPLING)}",
            )
        if endpoint.dialect == _ANY and endpoint.thinking != "never":
            raise UsageError(
                "Converse has no field that switches thinking; each model has its own",
                f"use dialect: {_CLAUDE} for Claude, or say thinking: never",
            )
        self.provider = endpoint.provider
        self.model = endpoint.model
        place = f"/model/{quote(endpoint.model, safe='')}/converse"
        self.url = endpoint.base_url.rstrip("/") + place
        self.price = price
        self._taken = () if endpoint.thinking == "on" else _SAMPLING[endpoint.dialect]
        self._thinking = claude_thinking(endpoint)

    def headers(self, key: Key) -> dict[str, str]:
        """Of a request, the key among them."""
        plain = {"Content-Type": "application/json", "Accept": "application/json"}
        if key.secret is None:
            return plain
        return plain | {"Authorization": f"Bearer {key.secret.reveal()}"}

    def usage(self, value: Mapping[str, Any]) -> Usage | None:
        """What a reply says it used; what was read from the cache is part of the prompt."""
        told = value.get("usage")
        if not isinstance(told, dict):
            return None
        fresh, written = tokens(told.get("inputTokens")), tokens(told.get("outputTokens"))
        if fresh is None or written is None:
            return None
        cached = count(told.get("cacheReadInputTokens"))
        stored = count(told.get("cacheWriteInputTokens"))
        return Usage(fresh + cached + stored, written, cached)

    def has_answer(self, value: Mapping[str, Any]) -> bool:
        """The reply has a message with blocks."""
        return _blocks(value) is not None

    def body(self, messages: Sequence[Message], asking: Asking) -> dict[str, Any]:
        """The request; a `UsageError` for what the model cannot be asked."""
        system, turns = part_system(messages, self.provider)
        refuse_fields(asking, self.model, *self._taken)
        fields = {"temperature": asking.sampling.temperature, "topP": asking.decoding.top_p}
        taken = {"temperature": "temperature", "top_p": "topP"}
        config: dict[str, Any] = {
            "maxTokens": asking.sampling.max_new_tokens,
            **{taken[name]: fields[taken[name]] for name in self._taken},
        }
        if asking.decoding.stop:
            config["stopSequences"] = list(asking.decoding.stop)
        body: dict[str, Any] = {
            "messages": [{"role": one.role, "content": [{"text": one.content}]} for one in turns],
            "inferenceConfig": config,
        }
        if system:
            body["system"] = [{"text": system}]
        if self._thinking:
            body["additionalModelRequestFields"] = self._thinking
        if asking.schema is not None:
            body["outputConfig"] = {"textFormat": _text_format(asking.schema)}
        return body

    def read(self, value: Mapping[str, Any]) -> Said:
        """What a reply that `has_answer` says."""
        blocks = _blocks(value) or []
        thoughts = [one["reasoningContent"] for one in blocks if "reasoningContent" in one]
        shown = (one.get("reasoningText") for one in thoughts if isinstance(one, dict))
        used = value.get("usage")
        calls = (one["toolUse"] for one in blocks if isinstance(one.get("toolUse"), dict))
        return Said(
            "".join(plain_text(one.get("text")) for one in blocks),
            _ENDS.get(str(value.get("stopReason")), "unknown"),
            count(used.get("outputTokens")) if isinstance(used, dict) else 0,
            reasoning="".join(
                plain_text(one.get("text")) for one in shown if isinstance(one, dict)
            ),
            has_thought=bool(thoughts),
            tool_calls=tuple(
                ToolCall(plain_text(one.get("name")), as_json(one.get("input"))) for one in calls
            ),
        )


class BedrockEngine(RemoteEngine):
    """A model on Bedrock; the address holds the region."""

    home = Home(BedrockWire, "bedrock", "", _ANY)


def _blocks(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    output = value.get("output")
    message = output.get("message") if isinstance(output, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        return None
    return [one for one in content if isinstance(one, dict)]


def _text_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    named = {"name": schema.get("title", "answer"), "schema": json.dumps(closed_schema(schema))}
    return {"type": "json_schema", "structure": {"jsonSchema": named}}
