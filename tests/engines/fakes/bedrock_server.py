"""Bedrock's Converse, as its service model documents it."""

import json

from tests.engines.fakes.anthropic_server import schema_problem
from tests.engines.fakes.server import PLANTED_MESSAGE, FakeServer, Speech, digest_of, spoken

ERRORS = {
    "error_in_body": (200, "InternalServerException"),
    "server_error": (500, "InternalServerException"),
    "overloaded": (503, "ServiceUnavailableException"),
    "rate_limited": (429, "ThrottlingException"),
    "rate_limited_soon": (429, "ThrottlingException"),
    "quota": (402, "PaymentRequired"),
    "key_refused": (403, "AccessDeniedException"),
    "bad_request": (400, "ValidationException"),
}
KNOWN = {
    "messages", "system", "inferenceConfig", "toolConfig", "additionalModelRequestFields",
    "outputConfig",
}  # fmt: skip


class BedrockSpeech(Speech):
    def takes(self, path):
        return path.startswith("/model/") and path.endswith("/converse")

    def problem_of(self, body, headers):
        unknown = set(body) - KNOWN
        unknown |= set(body.get("inferenceConfig", {})) - {
            "maxTokens", "temperature", "topP", "stopSequences",
        }  # fmt: skip
        if unknown:
            return f"unknown: {unknown}"
        if any("text" not in one["content"][0] for one in body["messages"]):
            return "content blocks are missing"
        told = body.get("outputConfig", {}).get("textFormat")
        return (
            schema_problem(json.loads(told["structure"]["jsonSchema"]["schema"])) if told else None
        )

    def question_of(self, body):
        return digest_of([body["messages"], body.get("system")])

    def reply(self, body, fault, say, number):
        text = say(body, number) if say else f"answer {self.question_of(body)} to all"
        words, is_cut = spoken(text, body.get("inferenceConfig", {}).get("maxTokens", 10**9))
        content = [{"text": " ".join(words)}]
        thinking = body.get("additionalModelRequestFields", {}).get("thinking", {})
        if thinking.get("type", "disabled") != "disabled" or fault == "thoughts":
            shown = {"text": "Let me see.", "signature": "Eo8="}
            content.insert(0, {"reasoningContent": {"reasoningText": shown}})
        if fault in ("refusal", "empty_answer"):
            content = []
        if "toolConfig" in body:
            content = [{"toolUse": {"toolUseId": "t1", "name": "look", "input": {"a": 1}}}]
        stop = "max_tokens" if is_cut else "tool_use" if "toolConfig" in body else "end_turn"
        stop = {"refusal": "content_filtered", "no_finish_reason": "malformed_model_output"}.get(
            fault, stop
        )
        prompt = sum(len(one["content"][0]["text"].split()) + 4 for one in body["messages"])
        used = {"inputTokens": prompt, "outputTokens": len(words)}
        reply = {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": stop,
            "usage": used | {"totalTokens": prompt + len(words)},
            "metrics": {"latencyMs": 5},
        }
        if fault == "no_usage":
            del reply["usage"]
        return reply

    def tokens(self, reply):
        return reply["usage"]["inputTokens"], reply["usage"]["outputTokens"]

    def error(self, fault, message=PLANTED_MESSAGE):
        status, word = ERRORS[fault]
        again = [("Retry-After", "0.01")] if fault == "rate_limited_soon" else []
        body = {"message": message} | ({"error": {"code": word}} if status == 200 else {})
        kind = ("x-amzn-ErrorType", f"{word}:http://internal.amazon.com/coral/")
        return status, json.dumps(body).encode(), [*again, kind]


class FakeBedrock(FakeServer):
    speech = BedrockSpeech()
