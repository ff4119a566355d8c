"""What a reply means: every way to fail has one name."""

import asyncio
import contextlib
import json
import socket

import pytest
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import Behaviour

from stillhouse.core.errors import NetworkRefusedError
from stillhouse.engines.http import Http, read_failure, read_reply
from stillhouse.engines.outcomes import Failure, Reply
from stillhouse.runner.guard import guarded

BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()


def post(url, timeout_s=0.5):
    async def once():
        async with Http(4, timeout_s) as http:
            return await http.post(url, {"Authorization": "Bearer k"}, BODY)

    return asyncio.run(once())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty_body"),
        (b" \n", "empty_body"),
        (b"\n<!doctype html>", "html"),
        (b'{"choices": [{"mess', "truncated_json"),
        (b"[" * 100_000, "truncated_json"),
        ('{"a": "\u00e9"}'.encode("latin-1"), "wrong_encoding"),
        ('{"a": 1}'.encode("utf-16"), "wrong_encoding"),
        (b"[1]", "wrong_shape"),
        (b'"text"', "wrong_shape"),
        (b'{"error": {"code": "overloaded"}}', "error_in_body"),
    ],
)
def test_a_bad_body_with_status_200_has_a_name(content, reason):
    assert read_reply(content).reason == reason


@pytest.mark.parametrize(
    ("status", "content", "reason"),
    [
        (400, b"", "bad_request"),
        (404, b"", "bad_request"),
        (422, b"<html>", "bad_request"),
        (401, b"", "key_refused"),
        (403, b"", "key_refused"),
        (402, b"", "quota_used_up"),
        (429, b"", "rate_limited"),
        (429, b'{"error": {"type": "insufficient_quota", "code": null}}', "quota_used_up"),
        (429, b'{"error": {"code": "rate_limit_exceeded"}}', "rate_limited"),
        (500, b"", "server_error"),
        (502, b"", "bad_gateway"),
        (503, b"", "overloaded"),
        (529, b"", "overloaded"),
        (301, b"", "redirected"),
    ],
)
def test_a_status_has_a_name(status, content, reason):
    assert read_failure(status, {}, content).reason == reason


def test_a_providers_message_is_never_kept():
    content = json.dumps(
        {"error": {"message": "bad key sk-1", "code": "invalid key sk-1", "type": "auth_error"}}
    )
    failure = read_failure(401, {}, content.encode())
    assert failure.code == "auth_error"
    assert "sk-1" not in repr(failure)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("html", "html"),
        ("empty_body", "empty_body"),
        ("truncated_json", "truncated_json"),
        ("wrong_encoding", "wrong_encoding"),
        ("reset", "reset"),
        ("hang", "timeout"),
        ("bad_gateway", "bad_gateway"),
        ("rate_limited", "rate_limited"),
        ("quota", "quota_used_up"),
        ("key_refused", "key_refused"),
        ("error_in_body", "error_in_body"),
    ],
)
def test_a_server_that_fails_is_named_over_a_real_connection(fault, reason):
    with FakeOpenAI(Behaviour(fault_share=1.0, faults=(fault,))) as server:
        assert post(f"{server.url}/chat/completions").reason == reason


def test_a_server_that_works_is_read_over_a_real_connection():
    with FakeOpenAI() as server:
        reply = post(f"{server.url}/chat/completions")
    assert isinstance(reply, Reply)
    assert reply.value["object"] == "chat.completion"


def test_a_redirect_is_not_followed_because_the_request_carries_a_key():
    with FakeOpenAI() as other:
        away = f"{other.url}/chat/completions"
        behaviour = Behaviour(fault_share=1.0, faults=("redirected",), elsewhere=away)
        with FakeOpenAI(behaviour) as server:
            assert post(f"{server.url}/chat/completions").reason == "redirected"
        assert other.calls == []


def test_nobody_at_the_address_is_no_connection():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert post(f"http://127.0.0.1:{port}/v1").reason == "no_connection"


def test_the_network_policy_is_not_mistaken_for_a_bad_connection():
    with guarded("none"), pytest.raises(NetworkRefusedError, match="connection to api"):
        post("http://api.example.com/v1")


@pytest.mark.parametrize(
    "url", ["http://host:99999/v1", "http:///v1", "https://a..b/v1", "http://[::1/v1"]
)
def test_an_address_that_cannot_be_one_is_no_connection_and_costs_nothing(url):
    found = post(url)
    assert found.reason == "no_connection"
    assert not found.kind.may_be_billed


def test_of_a_body_without_end_no_more_is_read_than_an_answer_may_be(monkeypatch):
    monkeypatch.setattr("stillhouse.engines.http._MOST_REPLY", 1000)
    sent = []

    async def endless(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while len(sent) < 10_000:
                writer.write(b" " * 1000)
                sent.append(1000)
                await writer.drain()
        writer.close()

    async def ask():
        server = await asyncio.start_server(endless, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, Http(1, 20.0) as http:
            return await http.post(f"http://127.0.0.1:{port}/v1", {}, BODY)

    assert asyncio.run(ask()) == Failure("too_large", 200)
    assert len(sent) < 10_000
