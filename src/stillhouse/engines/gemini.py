"""Google's Gemini API (generateContent) as an engine.

Source: https://ai.google.dev/api/generate-content, https://ai.google.dev/gemini-api/docs/thinking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from typing import Any

from stillhouse.core.errors import UsageError
from stillhouse.core.rows import Message, OwnLogprob, ToolCall
from stillhouse.engines.capabilities import Capabilities
from stillhouse.engines.keys import Key
from stillhouse.engines.prices import Price
from stillhouse.engines.reading import as_json, count, dicts, plain_text, tokens
from stillhouse.engines.remote import Home, RemoteEngine
from stillhouse.engines.wire import Asking, End, Endpoint, Said, part_system
from stillhouse.store.ledger import Usage

_LEVEL, _BUDGET = "gemini_3", "gemini_2_5"

_TOP_LOGPROBS = 20  # paper: the API's own reference, `logprobs`

_ENDS: dict[str, End] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(
        ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "ESCALATION"),
        "refusal",
    ),
}


class GeminiWire:
    """The format of one model.

    Args:
        endpoint: complete; its dialect says how the model's generation is told to think.
        price: of the model.

    Raises:
        UsageError: no such dialect, or the model cannot be told not to think.
    """

    capabilities = Capabilities(
        text=True,
        own_logprobs=True,
        scoring=False,
        full_logits=False,
        top_logprobs=_TOP_LOGPROBS,
    )

    def __init__(self, endpoint: Endpoint, price: Price) -> None:
        self.provider = endpoint.provider
        self.model = endpoint.model
        self.url = f"{endpoint.base_url.rstrip('/')}/models/{endpoint.model}:generateContent"
        self.price = price
        self._thinking = _thinking(endpoint)

    def headers(self, key: Key) -> dict[str, str]:
        """Of a request, the key among them."""
        plain = {"Content-Type": "application/json"}
        return plain if key.secret is None else plain | {"x-goog-api-key": key.secret.reveal()}

    def usage(self, value: Mapping[str, Any]) -> Usage | None:
        """What a reply says it used; thoughts are written tokens, shown or not."""
        told = value.get("usageMetadata")
        if not isinstance(told, dict):
            return None
        asked = tokens(told.get("promptTokenCount"))
        if asked is None:
            return None
        prompt = asked + count(told.get("toolUsePromptTokenCount"))
        cached = min(count(told.get("cachedContentTokenCount")), prompt)
        return Usage(prompt, _written(value), cached)

    def has_answer(self, value: Mapping[str, Any]) -> bool:
        """The reply has one candidate, or says that the prompt was blocked."""
        return _candidate(value) is not None or bool(_block_reason(value))

    def body(self, messages: Sequence[Message], asking: Asking) -> dict[str, Any]:
        """The request; a `UsageError` for what the API cannot be asked."""
        system, turns = part_system(messages, self.provider)
        roles = {"user": "user", "assistant": "model"}
        body: dict[str, Any] = {
            "contents": [
                {"role": roles[one.role], "parts": [{"text": one.content}]} for one in turns
            ],
            "generationConfig": self._config(asking),
        }
        if system:
            body["systemInstruction"] = {"parts": [{"text": system}]}
        return body

    def read(self, value: Mapping[str, Any]) -> Said:
        """What a reply that `has_answer` says."""
        candidate = _candidate(value)
        if candidate is None:
            return Said("", "refusal", 0)
        content = candidate.get("content")
        parts = dicts(content.get("parts")) if isinstance(content, dict) else []
        used = value.get("usageMetadata")
        calls = (one["functionCall"] for one in parts if isinstance(one.get("functionCall"), dict))
        return Said(
            _text(one for one in parts if not one.get("thought")),
            _ENDS.get(str(candidate.get("finishReason")), "unknown"),
            _written(value),
            reasoning=_text(one for one in parts if one.get("thought")),
            has_thought=isinstance(used, dict) and count(used.get("thoughtsTokenCount")) > 0,
            tool_calls=tuple(
                ToolCall(plain_text(one.get("name")), as_json(one.get("args") or {}))
                for one in calls
            ),
            logprobs=_logprobs(candidate.get("logprobsResult")),
        )

    def _config(self, asking: Asking) -> dict[str, Any]:
        decoding = asking.decoding
        config: dict[str, Any] = {
            "candidateCount": 1,
            "maxOutputTokens": asking.sampling.max_new_tokens,
            "temperature": asking.sampling.temperature,
            "topP": decoding.top_p,
            "seed": decoding.seed,
            **self._thinking,
        }
        # some models refuse a penalty even of 0, which is what they do by themselves; topK cannot
        # be told to change nothing, and some models refuse it
        if decoding.presence_penalty:
            config["presencePenalty"] = decoding.presence_penalty
        if decoding.frequency_penalty:
            config["frequencyPenalty"] = decoding.frequency_penalty
        if decoding.stop:
            config["stopSequences"] = list(decoding.stop)
        if decoding.top_logprobs >= 0:
            config |= {"responseLogprobs": True, "logprobs": decoding.top_logprobs}
        if asking.schema is not None:
            config["responseMimeType"] = "application/json"
            config["responseJsonSchema"] = dict(asking.schema)
        return config


class GeminiEngine(RemoteEngine):
    """Gemini at Google's address for API keys."""

    home = Home(GeminiWire, "gemini", "https://generativelanguage.googleapis.com/v1beta", _LEVEL)


def _thinking(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.dialect not in (_LEVEL, _BUDGET):
        raise UsageError(
            f"no generation {endpoint.dialect!r} of Gemini is known", f"use {_LEVEL} or {_BUDGET}"
        )
    if endpoint.thinking == "never":
        return {}
    if endpoint.dialect == _LEVEL:
        if endpoint.thinking == "off":
            raise UsageError(
                "Gemini 3 and later cannot be told not to think",
                "say thinking: on, or take a model of generation 2.5",
            )
        return {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": "high"}}
    if endpoint.thinking == "off":
        return {"thinkingConfig": {"includeThoughts": False, "thinkingBudget": 0}}
    # -1 lets the model decide
    budget = endpoint.thinking_tokens or -1
    return {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": budget}}


def _candidate(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = value.get("candidates")
    first = found[0] if isinstance(found, list) and found else None
    return first if isinstance(first, dict) else None


def _block_reason(value: Mapping[str, Any]) -> str:
    feedback = value.get("promptFeedback")
    return str(feedback.get("blockReason") or "") if isinstance(feedback, dict) else ""


def _written(value: Mapping[str, Any]) -> int:
    used = value.get("usageMetadata")
    if not isinstance(used, dict):
        return 0
    return count(used.get("candidatesTokenCount")) + count(used.get("thoughtsTokenCount"))


def _text(parts: Any) -> str:
    return "".join(plain_text(one.get("text")) for one in parts)


def _logprobs(told: Any) -> tuple[OwnLogprob, ...]:
    if not isinstance(told, dict):
        return ()
    places = chain(told.get("topCandidates") or (), repeat({}))
    try:
        return tuple(
            OwnLogprob(*_entry(one), tuple(_entry(top) for top in place.get("candidates") or ()))
            for one, place in zip(told.get("chosenCandidates") or (), places, strict=False)
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return ()


def _entry(candidate: Mapping[str, Any]) -> tuple[bytes, float]:
    # the API tells a token as text only, so a part of a character is not exact
    return str(candidate["token"]).encode("utf-8"), float(candidate["logProbability"])
