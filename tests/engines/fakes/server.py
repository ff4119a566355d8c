"""A server on 127.0.0.1 that speaks a provider's format, and fails when it is told to.

It answers by rule, so that one question has one answer. It keeps its own clock, its own log of
calls and its own bill, which tests hold against ours. Faults come from a seeded schedule: the
n-th request of a seed fails in the same way every time.
"""

import asyncio
import hashlib
import json
import random
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus

INPUT_NANO, OUTPUT_NANO = 150, 600  # nano-dollars a token

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
REFUSED = ("quota", "key_refused", "bad_request")
BAD_ANSWERS = ("refusal", "empty_answer", "no_finish_reason", "no_usage", "no_logprobs")
"""Whole replies, always billed; so is `thoughts`, which shows thoughts that nobody asked for."""
FAULTY = {*BILLED_FAULTS, *FREE_FAULTS, *REFUSED, "wrong_shape", "error_in_body", ELSEWHERE}
PLANTED_MESSAGE = "planted: sk-the-server-repeats-your-key"


@dataclass(frozen=True)
class Call:
    """One request, by the server's clock."""

    at: float
    key: str
    fault: str
    question: str
    nano_usd: int
    body: dict
    headers: dict = field(default_factory=dict)


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


class Speech:
    """A provider's format; each fake is a subclass.

    Attributes:
        prefix: of the address that a client is given.
    """

    prefix = ""

    def takes(self, path):
        """The path is that of a question."""
        raise NotImplementedError

    def key_of(self, headers):
        return headers.get("authorization", "").removeprefix("Bearer ")

    def problem_of(self, body, headers):
        """What the provider would refuse about a request; None when it is well formed."""
        raise NotImplementedError

    def question_of(self, body):
        """Names a question in the log without its text."""
        raise NotImplementedError

    def reply(self, body, fault, say, number):
        """A reply with every field that the provider documents as required."""
        raise NotImplementedError

    def tokens(self, reply):
        """Prompt and completion tokens of a sound reply."""
        raise NotImplementedError

    def error(self, fault, message=PLANTED_MESSAGE):
        """Status, body and headers of a failure."""
        raise NotImplementedError

    def other(self, first, content):
        """Status and body for a path that is no question; None for one that is not known."""
        return None


class FakeServer:
    """The server in a thread of its own; `with` it."""

    speech: Speech

    def __init__(self, behaviour=None):
        self.behaviour = behaviour or Behaviour()
        self.calls = []
        self.most_at_once = 0
        self.open = set()
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
        return f"http://127.0.0.1:{self.port}{self.speech.prefix}"

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
        for transport in list(self.open):
            transport.abort()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def beside(self, first, headers, content):
        """Status, body and headers for a path that is no question; None drops the connection."""
        found = self.speech.other(first, content) or (404, self.speech.error("bad_request")[1])
        return (*found, ())

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
        self._speech = server.speech
        self._buffer = b""

    def connection_made(self, transport):
        self._transport = transport
        self._server.open.add(transport)

    def connection_lost(self, error):
        self._server.open.discard(self._transport)

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
        behaviour, speech = self._server.behaviour, self._speech
        if not speech.takes(first.split(" ")[1]):
            found = self._server.beside(first, headers, content)
            if found is None:
                self._transport.abort()
            else:
                self._write(*found)
            return
        key = speech.key_of(headers)
        fault, is_billed = self._server.draw_fault(key)
        body = json.loads(content)
        number = len(self._server.calls)
        problem = speech.problem_of(body, headers)
        reply = {} if problem else speech.reply(body, fault, behaviour.say, number)
        cost = 0
        if not problem and fault not in (*FREE_FAULTS, *REFUSED, ELSEWHERE):
            prompt, written = speech.tokens(speech.reply(body, "", behaviour.say, number))
            cost = INPUT_NANO * prompt + OUTPUT_NANO * written
            if fault in BILLED_FAULTS and not is_billed:
                cost = 0
        self._server.calls.append(
            Call(time.monotonic(), key, fault, speech.question_of(body), cost, body, headers)
        )
        self._server.begin()
        later = asyncio.get_running_loop().call_later
        if problem:
            later(0, self._finish, *speech.error("bad_request", problem))
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
        elif fault in (*FREE_FAULTS, *REFUSED, "error_in_body"):
            status, body, headers = self._speech.error(fault)
            self._finish(status, body, [*headers, *pause] if status in (429, 503, 529) else headers)
        else:
            wrong = json.dumps(reply, ensure_ascii=False).encode() + b"\xff"
            status, body, headers = {
                ELSEWHERE: (307, b"", [("Location", self._server.behaviour.elsewhere)]),
                "html": (200, b"<!doctype html><title>Sign in</title>", ()),
                "empty_body": (200, b"", ()),
                "truncated_json": (200, whole[: len(whole) // 2], ()),
                "wrong_encoding": (200, wrong, ()),
                "wrong_shape": (200, b'{"object": "list", "data": []}', ()),
                "bad_gateway": (502, b"<html>bad gateway</html>", ()),
            }[fault]
            self._finish(status, body, headers)

    def _write(self, status, body, headers=()):
        if self._transport.is_closing():
            return
        more = b"".join(f"{name}: {value}\r\n".encode() for name, value in headers)
        word = HTTPStatus(status).phrase if status != 529 else "Overloaded"
        self._transport.write(
            b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n"
            % (status, word.encode(), len(body), more)
            + body
        )


def digest_of(value):
    """A short name of anything that is JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def spoken(text, longest):
    """The words of an answer, cut where it must be."""
    words = text.split(" ")
    return words[:longest], len(words) > longest
