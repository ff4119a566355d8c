"""OpenAI's chat completions, as its reference documents them."""

import contextlib
import json
import threading

from tests.engines.fakes.openai_batches import Batches, Plan
from tests.engines.fakes.server import (
    PLANTED_MESSAGE,
    Behaviour,
    FakeServer,
    Speech,
    digest_of,
    spoken,
)

ERRORS = {
    "error_in_body": (200, "overloaded", "server_error", []),
    "server_error": (500, "internal", "server_error", []),
    "overloaded": (503, "server_is_overloaded", "service_unavailable", []),
    "rate_limited": (429, "rate_limit_exceeded", "requests", []),
    "rate_limited_soon": (429, "rate_limit_exceeded", "tokens", [("Retry-After", "0.01")]),
    "quota": (429, "credit_balance_exhausted", "insufficient_quota", []),
    "key_refused": (401, "invalid_api_key", "invalid_request_error", []),
    "bad_request": (400, "invalid_value", "invalid_request_error", []),
}
KNOWN = {
    "model", "messages", "n", "stream", "max_completion_tokens", "max_tokens", "temperature",
    "top_p", "presence_penalty", "frequency_penalty", "seed", "stop", "logprobs",
    "top_logprobs", "response_format", "reasoning_effort", "top_k", "min_p",
    "repetition_penalty", "repeat_penalty", "typical_p", "chat_template_kwargs",
    "prompt_logprobs", "add_generation_prompt", "return_token_ids",
}  # fmt: skip


class OpenAISpeech(Speech):
    prefix = "/v1"

    def takes(self, path):
        return path.endswith("/chat/completions")

    def problem_of(self, body, headers):
        if set(body) - KNOWN:
            return f"unknown: {set(body) - KNOWN}"
        if not body.get("messages") or not isinstance(body.get("model"), str):
            return "model or messages missing"
        if "top_logprobs" in body and not body.get("logprobs"):
            return "top_logprobs needs logprobs"
        return None

    def question_of(self, body):
        return question_of(body)

    def reply(self, body, fault, say, number):
        return completion(body, fault, say, number)

    def tokens(self, reply):
        return reply["usage"]["prompt_tokens"], reply["usage"]["completion_tokens"]

    def error(self, fault, message=PLANTED_MESSAGE):
        status, code, kind, headers = ERRORS[fault]
        error = {"message": message, "type": kind, "param": None, "code": code}
        return status, json.dumps({"error": error}).encode(), headers


class FakeOpenAI(FakeServer):
    """Chat completions, and the batch endpoint beside them.

    Args:
        behaviour: of the server.
        plan: of its batches.
    """

    speech = OpenAISpeech()

    def __init__(self, behaviour=None, plan=None):
        super().__init__(behaviour)
        self.batches = Batches(self, plan or Plan())

    def beside(self, first, headers, content):
        if self.batches.takes(first):
            return self.batches.answer(first, headers, content)
        return super().beside(first, headers, content)


def question_of(body):
    return digest_of([body["messages"], body.get("seed")])


def completion(body, fault, say, number):
    """A chat completion object with every field that OpenAI documents as required."""
    text = say(body, number) if say else f"answer {question_of(body)} to {len(body['messages'])}"
    longest = body.get("max_completion_tokens") or body.get("max_tokens") or 10**9
    words, is_cut = spoken(text, longest)
    text = " ".join(words)
    finish = "length" if is_cut else "stop"
    message = {"role": "assistant", "content": text, "refusal": None}
    if fault == "refusal":
        message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
    if fault == "empty_answer":
        message["content"] = ""
    if fault == "thoughts":
        message["reasoning_content"] = "Let me see."
    prompt_tokens = sum(len(one["content"].split()) + 4 for one in body["messages"])
    reply = {
        "id": f"chatcmpl-{question_of(body)}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": body["model"],
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": logprobs_of(words, body) if fault != "no_logprobs" else None,
                "finish_reason": None if fault == "no_finish_reason" else finish,
            }
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": len(words),
            "total_tokens": prompt_tokens + len(words),
        },
    }
    if fault == "no_usage":
        del reply["usage"]
    if "prompt_logprobs" in body:
        given = " ".join(one["content"] for one in body["messages"]).split()
        ids = [number + 1 for number in range(len(given))]
        reply["prompt_token_ids"] = ids
        reply["prompt_logprobs"] = [
            None
            if place == 0
            else {
                str(ids[place]): {"logprob": -1.5, "rank": 2, "decoded_token": word},
                "7000": {"logprob": -0.5, "rank": 1, "decoded_token": "the"},
            }
            for place, word in enumerate(given)
        ]
    return reply


def logprobs_of(words, body):
    if not body.get("logprobs"):
        return None
    return {
        "content": [
            {
                "token": word,
                "bytes": list(word.encode()),
                "logprob": -0.25,
                "top_logprobs": [
                    {"token": word, "bytes": list(word.encode()), "logprob": -0.25},
                    {"token": "\ufffd", "bytes": [0xE2, 0x82], "logprob": -2.5},
                ][: body.get("top_logprobs", 0)],
            }
            for word in words
        ],
        "refusal": None,
    }


def main():
    """A server of its own for a benchmark: prints its port, then answers until it is killed."""
    import sys

    with FakeOpenAI(Behaviour(latency_s=float(sys.argv[1]))) as server:
        print(server.port, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
