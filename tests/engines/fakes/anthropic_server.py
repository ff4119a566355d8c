"""Anthropic's Messages API in both of its versions, as its reference documents it."""

import json

from tests.engines.fakes.server import PLANTED_MESSAGE, FakeServer, Speech, digest_of, spoken

ERRORS = {
    "error_in_body": (200, "api_error", []),
    "server_error": (500, "api_error", []),
    "overloaded": (529, "overloaded_error", []),
    "rate_limited": (429, "rate_limit_error", []),
    "rate_limited_soon": (429, "rate_limit_error", [("retry-after", "0.01")]),
    "quota": (402, "billing_error", []),
    "key_refused": (401, "authentication_error", []),
    "bad_request": (400, "invalid_request_error", []),
}
KNOWN = {
    "model", "max_tokens", "messages", "system", "stream", "stop_sequences", "thinking",
    "output_config", "metadata", "tools", "tool_choice", "service_tier",
}  # fmt: skip
SAMPLING = {"temperature", "top_p", "top_k"}


class AnthropicSpeech(Speech):
    def takes(self, path):
        return path == "/v1/messages"

    def key_of(self, headers):
        return headers.get("x-api-key") or super().key_of(headers)

    def problem_of(self, body, headers):
        version = headers.get("anthropic-version")
        if version not in ("2023-06-01", "2026-10-21"):
            return "anthropic-version: not valid"
        unknown = set(body) - KNOWN - (SAMPLING if version == "2023-06-01" else set())
        if unknown:
            return f"{unknown}: Extra inputs are not permitted"
        if not isinstance(body.get("max_tokens"), int):
            return "max_tokens: Field required"
        if any(one["role"] not in ("user", "assistant") for one in body["messages"]):
            return "messages: Unexpected role"
        if {"temperature", "top_p"} <= set(body):
            return "temperature and top_p cannot both be specified for this model"
        thinking = body.get("thinking", {"type": "disabled"})
        if (
            thinking["type"] == "enabled"
            and not 1024 <= thinking["budget_tokens"] < body["max_tokens"]
        ):
            return "thinking.budget_tokens: out of range"
        if thinking["type"] != "disabled" and body.get("temperature", 1.0) != 1.0:
            return "temperature may only be set to 1 when thinking is enabled"
        return schema_problem(body.get("output_config", {}).get("format", {}).get("schema", {}))

    def question_of(self, body):
        return digest_of([body.get("system"), body["messages"]])

    def reply(self, body, fault, say, number):
        text = say(body, number) if say else f"answer {self.question_of(body)} to all"
        words, is_cut = spoken(text, body["max_tokens"])
        content = [{"type": "text", "text": " ".join(words), "citations": None}]
        if fault in ("refusal", "empty_answer"):
            content = []
        is_thinking = body.get("thinking", {"type": "disabled"})["type"] != "disabled"
        if is_thinking or fault == "thoughts":
            content.insert(0, {"type": "thinking", "thinking": "Let me see.", "signature": "Eo8="})
        if "tools" in body:
            call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"a": 1}}
            content = [call | {"caller": {"type": "direct"}}]
        cached = 3 if "cached" in json.dumps(body["messages"]) else 0
        stop = "max_tokens" if is_cut else "tool_use" if "tools" in body else "end_turn"
        stop = {"refusal": "refusal", "no_finish_reason": None}.get(fault, stop)
        prompt = sum(len(one["content"].split()) + 4 for one in body["messages"])
        reply = {
            "id": f"msg_{self.question_of(body)}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": content,
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": {
                "input_tokens": prompt - cached,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": cached,
                "output_tokens": len(words),
                "service_tier": "standard",
            },
        }
        if fault == "no_usage":
            del reply["usage"]
        return reply

    def tokens(self, reply):
        used = reply["usage"]
        return used["input_tokens"] + used["cache_read_input_tokens"], used["output_tokens"]

    def error(self, fault, message=PLANTED_MESSAGE):
        status, kind, headers = ERRORS[fault]
        body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
        return status, json.dumps(body).encode(), headers


class FakeAnthropic(FakeServer):
    speech = AnthropicSpeech()


def schema_problem(schema):
    """What structured outputs refuse: open objects and bounds."""
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        return "output_config.format.schema: additionalProperties must be false"
    if {"minimum", "maximum", "minLength", "maxLength", "maxItems"} & set(schema):
        return "output_config.format.schema: not supported"
    below = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    below += [schema["items"]] if "items" in schema else []
    return next(filter(None, map(schema_problem, below)), None)
