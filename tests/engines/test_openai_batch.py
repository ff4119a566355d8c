"""OpenAI's batch endpoint on the wire, read from whatever comes back."""

import asyncio
import json

import pytest
from tests.engines.asking import PRICE, SAMPLING, examples, keys
from tests.engines.fakes.openai_batches import Plan
from tests.engines.fakes.openai_server import FakeOpenAI

from stillhouse.engines.http import Http
from stillhouse.engines.openai_batch import OpenAIBatches, read_output
from stillhouse.engines.openai_wire import OpenAIWire
from stillhouse.engines.outcomes import Failure, Reply
from stillhouse.engines.wire import Asking, Decoding, Endpoint, question_of

openai = pytest.importorskip("openai", reason="the official client comes with the dev extra")


def batches_at(url):
    endpoint = Endpoint("fake-1", url, "openai", "openai")
    return OpenAIBatches(OpenAIWire(endpoint, PRICE))


def questions(wire, count):
    asking = Asking(SAMPLING, Decoding())
    return [question_of(wire, one.example_id, one.prompt, asking) for one in examples(count)]


def test_a_line_holds_the_body_to_the_byte_and_is_named_by_its_key():
    batches = batches_at("https://api.openai.com/v1")
    (question,) = questions(batches.chat, 1)
    line = batches.line(question)
    assert json.loads(line) == {
        "custom_id": question.key,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": json.loads(question.body),
    }
    assert question.body in line
    assert len(question.key) == 64
    assert line.endswith(b"}\n")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"response": {"status_code": 200, "body": {"choices": []}}}, None),
        ({"response": {"status_code": 200, "body": {"error": {"code": "x"}}}}, "error_in_body"),
        ({"response": {"status_code": 200, "body": None}}, "wrong_shape"),
        ({"response": {"status_code": 200}}, "wrong_shape"),
        ({"response": {"status_code": 400, "body": {}}}, "bad_request"),
        ({"response": {"status_code": 500, "body": "<html>"}}, "server_error"),
        ({"response": {"status_code": 0, "body": {}}}, "wrong_shape"),
        ({"response": {"status_code": "200", "body": {}}}, "wrong_shape"),
        ({"response": None, "error": {"code": "batch_expired"}}, "batch_expired"),
        ({"response": None, "error": {"code": "batch_cancelled"}}, "batch_cancelled"),
        ({"response": None, "error": {"code": "request_timeout"}}, "timeout"),
        ({"response": None, "error": {"code": ["x"]}}, "error_in_body"),
        ({"response": None, "error": None}, "error_in_body"),
        ({}, "error_in_body"),
    ],
)
def test_whatever_a_line_says_has_a_name(line, reason):
    found = read_output(json.dumps(line | {"custom_id": "k"}).encode())
    assert found.is_whole
    outcome = found.outcomes["k"]
    assert isinstance(outcome, Reply) if reason is None else outcome.reason == reason


@pytest.mark.parametrize(
    "torn", [b"{", b"<html>", b"\xff\xfe", b"[]", b"7", b"null", b'{"id": 1}', b"[" * 100_000]
)
def test_a_line_that_is_torn_takes_no_other_with_it(torn):
    whole = b'{"custom_id": "k", "error": {"code": "batch_expired"}}'
    for content in (whole + b"\n" + torn, torn + b"\n\n" + whole + b"\n"):
        found = read_output(content)
        assert list(found.outcomes) == ["k"]
        assert not found.is_whole


def test_an_empty_file_is_whole():
    assert read_output(b"").is_whole
    assert read_output(b"\n").outcomes == {}


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"id": "b", "status": "completed", "request_counts": {"completed": "many"}},
        {"id": "../x", "status": "completed"},
        {"id": "b c", "status": "in_progress"},
        {"id": "b", "status": "in_progress", "errors": 7},
    ],
)
def test_what_is_no_batch_is_of_a_wrong_shape(told, monkeypatch):
    async def get(self, url, headers):
        return Reply(b"", told)

    monkeypatch.setattr(Http, "get", get)
    look = batches_at("http://x/v1").look

    async def one():
        async with Http(1, 1.0) as http:
            return await look(http, keys()[0], "b")

    assert asyncio.run(one()) == Failure("wrong_shape", 200)


def test_the_official_client_reads_our_batches_and_we_read_its(tmp_path):
    plan = Plan(looks=1, fault=lambda number: "expired" if number == 1 else "", end="expired")
    with FakeOpenAI(plan=plan) as server:
        ours = batches_at(server.url)
        asked = questions(ours.chat, 3)
        lines = [ours.line(one) for one in asked]
        with openai.OpenAI(api_key="sk-x", base_url=server.url, max_retries=0) as official:
            file = official.files.create(file=("q.jsonl", b"".join(lines)), purpose="batch")
            made = official.batches.create(
                input_file_id=file.id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={"stillhouse_batch": "ours"},
            )
            over = official.batches.retrieve(made.id)
            openai.types.Batch.model_validate(over.model_dump(), strict=True)
            listed = list(official.batches.list(limit=1))
            text = official.files.content(over.output_file_id).content

        async def read():
            async with Http(1, 5.0) as http:
                key = keys()[0]
                uploaded = await ours.upload(http, key, lines)
                page = await ours.page(http, key, "")
                status = await ours.look(http, key, made.id)
                return (
                    uploaded,
                    page,
                    status,
                    [await ours.fetch(http, key, one) for one in status.files],
                )

        uploaded, page, status, outputs = asyncio.run(read())
        same = server.batches.files[uploaded] == server.batches.files[file.id]
    assert over.status == "expired"
    assert (over.request_counts.completed, over.request_counts.failed) == (2, 1)
    assert [one.id for one in listed] == [made.id]
    assert same
    assert (status.remote, status.token, status.file) == (made.id, "ours", file.id)
    assert (status.is_over, status.answered, status.finished) == (True, 2, 3)
    assert page.batches == [status]
    assert outputs[0] == read_output(text)
    assert outputs[1].outcomes == {asked[1].key: Failure("batch_expired", 0, "batch_expired")}
