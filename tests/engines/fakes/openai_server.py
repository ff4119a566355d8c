"""A server on 127.0.0.1 that speaks OpenAI's chat completions, and fails when it is told to.

It answers by rule, so that one question has one answer. It keeps its own clock, its own log of
calls and its own bill, which tests hold against ours. Faults come from a seeded schedule: the
n-th request of a seed fails in the same way every time.
"""

import asyncio
import contextlib
import hashlib
import json
import random
import threading
import time
from dataclasses import dataclass, field

INPUT_NANO, OUTPUT_NANO = 150, 600  # nano-dollars a token

STATUS = {
    200: b"OK",
    307: b"Temporary Redirect",
    400: b"Bad Request",
    401: b"Unauthorized",
    404: b"Not Found",
    429: b"Too Many Requests",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
}

BILLED_FAULTS = (
    "html",
    "empty_body",
    "truncated_json",
    "wrong_encoding",
    "reset",
    "hang",
    "bad_gateway",
)
"""The work may have been done: by the seed, it is billed or not."""
ELSEWHERE = "redirected"
"""Sends the client to `Behaviour.elsewhere`, which a client with a key must not follow."""
FREE_FAULTS = ("rate_limited", "rate_limited_soon", "server_error", "overloaded")
BAD_ANSWERS = ("refusal", "empty_answer", "no_finish_reason", "no_usage", "no_logprobs")
"""Whole replies, always billed."""


@dataclass(frozen=True)
class Call:
    """One request, by the server's clock."""

    at: float
    key: str
    fault: str
    question: str
    nano_usd: int
    body: dict


@dataclass
class Behaviour:
    """How the server behaves.

    Attributes:
        latency_s: before each answer.
        seed: of the schedule.
        fault_share: of requests that fail.
        faults: which faults they are drawn from.
        keys: that are let in, each with its fault or ""; none lets everybody in.
        say: text of an answer by the request's body and the number of the call.
        retry_after: header of a 429.
        hang_s: how long a hang lasts.
        elsewhere: where a redirect leads.
    """

    latency_s: float = 0.0
    seed: int = 0
    fault_share: float = 0.0
    faults: tuple = BILLED_FAULTS + FREE_FAULTS + BAD_ANSWERS
    keys: dict = field(default_factory=dict)
    say: object = None
    retry_after: str | None = None
    hang_s: float = 5.0
    elsewhere: str = ""


class FakeOpenAI:
    """The server in a thread of its own; `with` it."""

    def __init__(self, behaviour=None):
        self.behaviour = behaviour or Behaviour()
        self.calls = []
        self.most_at_once = 0
        self._at_once = 0
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def billed_nano_usd(self):
        return sum(call.nano_usd for call in list(self.calls))

    def _run(self):
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=512)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def draw_fault(self, key):
        number = len(self.calls)
        planned = self.behaviour.keys.get(key, "")
        if self.behaviour.keys and key not in self.behaviour.keys:
            planned = "key_refused"
        draw = random.Random(f"{self.behaviour.seed}:{number}")
        if not planned and draw.random() < self.behaviour.fault_share:
            planned = draw.choice(self.behaviour.faults)
        return planned, draw.random() < 0.5

    def begin(self):
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)

    def end(self):
        self._at_once -= 1


class _Connection(asyncio.Protocol):
    def __init__(self, server):
        self._server = server
        self._buffer = b""

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        self._buffer += data
        while True:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            lines = head.decode("latin-1").split("\r\n")
            headers = {
                name.strip().lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines[1:])
            }
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            self._answer(lines[0], headers, rest[:length])

    def _answer(self, first, headers, content):
        behaviour = self._server.behaviour
        if "/chat/completions" not in first:
            self._write(404, error_body("not_found", "invalid_request_error"))
            return
        key = headers.get("authorization", "").removeprefix("Bearer ")
        fault, is_billed = self._server.draw_fault(key)
        body = json.loads(content)
        problem = problem_of(body)
        reply = {} if problem else completion(body, fault, behaviour.say, len(self._server.calls))
        cost = 0
        if not problem and (
            fault not in (*FREE_FAULTS, "key_refused", "quota", "bad_request", ELSEWHERE)
        ):
            used = completion(body, "", behaviour.say, len(self._server.calls))["usage"]
            cost = INPUT_NANO * used["prompt_tokens"] + OUTPUT_NANO * used["completion_tokens"]
            if fault in BILLED_FAULTS and not is_billed:
                cost = 0
        self._server.calls.append(Call(time.monotonic(), key, fault, question_of(body), cost, body))
        self._server.begin()
        later = asyncio.get_running_loop().call_later
        if problem:
            later(
                0, self._finish, 400, error_body("invalid_value", "invalid_request_error", problem)
            )
            return
        later(
            behaviour.latency_s,
            self._fail if fault in FAULTY else self._finish,
            *((fault, reply) if fault in FAULTY else (200, json.dumps(reply).encode())),
        )

    def _finish(self, status, body, headers=()):
        self._server.end()
        self._write(status, body, headers)

    def _fail(self, fault, reply):
        whole = json.dumps(reply).encode()
        again = self._server.behaviour.retry_after
        pause = [("Retry-After", again)] if again else []
        if fault == "hang":
            asyncio.get_running_loop().call_later(
                self._server.behaviour.hang_s, self._finish, 200, whole
            )
        elif fault == "reset":
            self._server.end()
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                % len(whole)
                + whole[: len(whole) // 2]
            )
            self._transport.close()
        else:
            status, body, headers = {
                ELSEWHERE: (307, b"", [("Location", self._server.behaviour.elsewhere)]),
                "html": (200, b"<!doctype html><title>Sign in</title>", ()),
                "empty_body": (200, b"", ()),
                "truncated_json": (200, whole[: len(whole) // 2], ()),
                "wrong_encoding": (
                    200,
                    json.dumps(reply, ensure_ascii=False).encode() + b"\xff",
                    (),
                ),
                "wrong_shape": (200, b'{"object": "list", "data": []}', ()),
                "error_in_body": (200, error_body("overloaded", "server_error"), ()),
                "bad_gateway": (502, b"<html>bad gateway</html>", ()),
                "server_error": (500, error_body("internal", "server_error"), ()),
                "overloaded": (
                    503,
                    error_body("server_is_overloaded", "service_unavailable"),
                    pause,
                ),
                "rate_limited": (429, error_body("rate_limit_exceeded", "requests"), pause),
                "rate_limited_soon": (
                    429,
                    error_body("rate_limit_exceeded", "tokens"),
                    [("Retry-After", "0.01")],
                ),
                "quota": (429, error_body("credit_balance_exhausted", "insufficient_quota"), ()),
                "key_refused": (401, error_body("invalid_api_key", "invalid_request_error"), ()),
                "bad_request": (400, error_body("invalid_value", "invalid_request_error"), ()),
            }[fault]
            self._finish(status, body, headers)

    def _write(self, status, body, headers=()):
        if self._transport.is_closing():
            return
        more = b"".join(f"{name}: {value}\r\n".encode() for name, value in headers)
        self._transport.write(
            b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n"
            % (status, STATUS[status], len(body), more)
            + body
        )


FAULTY = {
    *BILLED_FAULTS, *FREE_FAULTS,
    "wrong_shape", "error_in_body", "quota", "key_refused", "bad_request", ELSEWHERE,
}  # fmt: skip


def error_body(code, kind, message="planted: sk-the-server-repeats-your-key"):
    return json.dumps(
        {"error": {"message": message, "type": kind, "param": None, "code": code}}
    ).encode()


def problem_of(body):
    """What OpenAI would refuse about a request; None when it is well formed."""
    known = {
        "model", "messages", "n", "stream", "max_completion_tokens", "max_tokens", "temperature",
        "top_p", "presence_penalty", "frequency_penalty", "seed", "stop", "logprobs",
        "top_logprobs", "response_format", "reasoning_effort", "top_k", "min_p",
        "repetition_penalty", "repeat_penalty", "typical_p", "chat_template_kwargs",
        "prompt_logprobs", "add_generation_prompt", "return_token_ids",
    }  # fmt: skip
    if set(body) - known:
        return f"unknown: {set(body) - known}"
    if not body.get("messages") or not isinstance(body.get("model"), str):
        return "model or messages missing"
    if "top_logprobs" in body and not body.get("logprobs"):
        return "top_logprobs needs logprobs"
    return None


def question_of(body):
    """Names a question in the log without its text."""
    shown = json.dumps([body["messages"], body.get("seed")], sort_keys=True)
    return hashlib.sha256(shown.encode()).hexdigest()[:16]


def completion(body, fault, say, number):
    """A chat completion object with every field that OpenAI documents as required."""
    text = say(body, number) if say else f"answer {question_of(body)} to {len(body['messages'])}"
    words = text.split(" ")
    longest = body.get("max_completion_tokens") or body.get("max_tokens") or len(words)
    is_cut = len(words) > longest
    words = words[:longest]
    text = " ".join(words)
    finish = "length" if is_cut else "stop"
    message = {"role": "assistant", "content": text, "refusal": None}
    if fault == "refusal":
        message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
    if fault == "empty_answer":
        message["content"] = ""
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
