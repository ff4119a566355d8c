"""Ollama's own API, as its OpenAPI file documents it."""

import json

from tests.engines.fakes.openai_server import logprobs_of
from tests.engines.fakes.server import (
    PLANTED_MESSAGE,
    FakeServer,
    Speech,
    digest_of,
    spoken,
)

STATUS = {
    "error_in_body": 200,
    "server_error": 500,
    "overloaded": 503,
    "rate_limited": 429,
    "rate_limited_soon": 429,
    "quota": 402,
    "key_refused": 401,
    "bad_request": 400,
}
KNOWN = {
    "model", "messages", "prompt", "system", "stream", "think", "format", "options", "logprobs",
    "top_logprobs", "truncate", "shift", "keep_alive", "raw", "suffix", "template", "images",
    "tools",
}  # fmt: skip


class OllamaSpeech(Speech):
    def takes(self, path):
        return path in ("/api/chat", "/api/generate")

    def problem_of(self, body, headers):
        if set(body) - KNOWN:
            return f"unknown: {set(body) - KNOWN}"
        if body.get("stream", True):
            return "this server does not stream"
        return None

    def question_of(self, body):
        asked = [body.get("messages"), body.get("system"), body.get("prompt")]
        return digest_of([*asked, (body.get("options") or {}).get("seed")])

    def reply(self, body, fault, say, number):
        text = say(body, number) if say else f"answer {self.question_of(body)} to all"
        words, is_cut = spoken(text, (body.get("options") or {}).get("num_predict") or 10**9)
        answer = "" if fault == "empty_answer" else " ".join(words)
        if fault == "refusal":  # it has no word for that
            answer = ""
        shown = {"thinking": "Let me see."} if body.get("think") or fault == "thoughts" else {}
        asked = body.get("messages") or [{"content": body.get("prompt", "")}]
        reply = {
            "model": body["model"],
            "created_at": "2026-11-21T10:00:00.000000Z",
            **(
                {"message": {"role": "assistant", "content": answer} | shown}
                if "messages" in body
                else {"response": answer} | shown
            ),
            "done": True,
            "done_reason": "length" if is_cut else "stop",
            "total_duration": 5_000_000,
            "load_duration": 1_000_000,
            "prompt_eval_count": sum(len(one["content"].split()) + 4 for one in asked),
            "prompt_eval_duration": 1_000_000,
            "eval_count": len(words),
            "eval_duration": 3_000_000,
        }
        if body.get("tools"):
            call = {"function": {"name": "look", "arguments": {"a": 1}}}
            reply["message"]["tool_calls"] = [call]
        if body.get("logprobs") and fault != "no_logprobs":
            reply["logprobs"] = logprobs_of(words, body)["content"]
        if fault == "no_finish_reason":
            del reply["done_reason"]
        if fault == "no_usage":
            del reply["prompt_eval_count"], reply["eval_count"]
        return reply

    def tokens(self, reply):
        return reply["prompt_eval_count"], reply["eval_count"]

    def error(self, fault, message=PLANTED_MESSAGE):
        again = [("Retry-After", "0.01")] if fault == "rate_limited_soon" else []
        return STATUS[fault], json.dumps({"error": message}).encode(), again


class FakeOllama(FakeServer):
    def __init__(self, behaviour=None):
        super().__init__(behaviour)
        self.speech = OllamaSpeech()
