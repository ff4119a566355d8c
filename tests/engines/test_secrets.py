"""No key and no prompt in anything that is written or said, with a scan that can fail."""

import logging
import traceback
import zlib

import pytest
from tests.engines.asking import PATIENT, PLANTED, SAMPLING, engine, keys
from tests.engines.fakes.openai_batches import Plan
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import BILLED_FAULTS, Behaviour
from tests.engines.providers import SERVERS, provider

from stillhouse.core.errors import NetworkRefusedError
from stillhouse.core.rows import Example, Message
from stillhouse.engines.gateway import GatewaySettings
from stillhouse.engines.retry import RetryPolicy
from stillhouse.runner.guard import guarded

PROMPT = "the-planted-prompt-4711"
FAULTS = (*BILLED_FAULTS, "rate_limited_soon", "server_error", "bad_request", "error_in_body")


def found_in(folder, needle):
    """Files below a folder whose bytes hold the needle, plain or compressed as answers are."""
    hits = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        data = path.read_bytes()
        packed = (zlib.decompressobj().decompress(data[start:], 1 << 20) for start in _starts(data))
        if needle.encode() in data or any(needle.encode() in one for one in packed):
            hits.append(path.name)
    return hits


def _starts(data):
    start = data.find(b"\x78\x01")
    while start >= 0:
        try:
            zlib.decompressobj().decompress(data[start:], 1 << 20)
        except zlib.error:
            pass
        else:
            yield start
        start = data.find(b"\x78\x01", start + 1)


@pytest.fixture
def everything_said(caplog, capfd):
    caplog.set_level(logging.DEBUG)

    def said():
        captured = capfd.readouterr()
        return caplog.text + captured.out + captured.err

    return said


@pytest.mark.parametrize("kind", SERVERS)
def test_no_key_and_no_prompt_is_written_or_said_whatever_fails(tmp_path, everything_said, kind):
    asked = [
        Example(f"e{number}", "unlabelled", (Message("user", f"{PROMPT} {number}"),), None)
        for number in range(60)
    ]
    settings = GatewaySettings(8, 0.1, retry=RetryPolicy(tries=2, first_s=0.001, patience_s=2.0))
    ring = keys("sk-wrong-" + PLANTED, PLANTED)
    behaviour = Behaviour(fault_share=0.7, faults=FAULTS, hang_s=0.3, keys={PLANTED: ""})
    with provider(kind, tmp_path, behaviour, settings, key_list=ring) as (server, teacher):
        found = list(teacher.generate(asked, SAMPLING))
        shown = repr((found, teacher, ring, teacher.capabilities, vars(teacher)))
        # while everything is open, with the write-ahead logs
        written = found_in(tmp_path, PLANTED) + found_in(tmp_path, PROMPT)
    assert len({one.reason for one in found}) >= 5
    assert any(call.key == PLANTED for call in server.calls)
    assert written == found_in(tmp_path, PLANTED) == found_in(tmp_path, PROMPT) == []
    said = everything_said() + shown
    assert PLANTED not in said
    assert PROMPT not in said
    assert "the-server-repeats-your-key" not in said


def test_no_key_and_no_prompt_of_a_batch_is_written_or_said_whatever_fails(
    tmp_path, everything_said
):
    asked = [
        Example(f"e{number}", "unlabelled", (Message("user", f"{PROMPT} {number}"),), None)
        for number in range(20)
    ]
    plan = Plan(
        lost=1,
        torn=1,
        fault=lambda number: (400, "odd", "expired", "")[number % 4],
        refused={
            what: ["rate_limited", "server_error", "error_in_body", "key_refused"]
            for what in ("files", "batches", "look", "list")
        },
    )
    settings = GatewaySettings(8, 1.0, retry=RetryPolicy(first_s=0.001), batch=PATIENT)
    ring = keys("sk-wrong-" + PLANTED, PLANTED, PLANTED, PLANTED, PLANTED, PLANTED)
    behaviour = Behaviour(keys={PLANTED: ""})
    with (
        FakeOpenAI(behaviour, plan) as server,
        engine(tmp_path, server.url, None, settings, ring, batch=True) as teacher,
    ):
        found = list(teacher.generate(asked, SAMPLING))
        shown = repr((found, teacher, vars(teacher)))
        written = found_in(tmp_path, PLANTED) + found_in(tmp_path, PROMPT)
    assert len({one.reason for one in found}) == 4
    assert written == found_in(tmp_path, PLANTED) == found_in(tmp_path, PROMPT) == []
    said = everything_said() + shown
    assert PLANTED not in said
    assert PROMPT not in said
    assert "the-server-repeats-your-key" not in said


def test_an_error_in_the_middle_of_a_request_shows_no_key(tmp_path, monkeypatch):
    def broken(self, value):
        raise RuntimeError("ours")

    with FakeOpenAI() as server, engine(tmp_path, server.url) as teacher:
        monkeypatch.setattr(type(teacher._wire), "usage", broken)
        with pytest.raises(RuntimeError, match="ours") as caught:
            list(teacher.generate([Example("e", "x", (Message("user", "q"),), None)], SAMPLING))
    text = "".join(
        traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
    )
    assert PLANTED not in text


@pytest.mark.parametrize(("batch", "frame"), [(False, "_try"), (True, "_once")])
def test_a_refused_connection_shows_no_key(tmp_path, batch, frame):
    with (
        guarded("none"),
        engine(tmp_path, "http://api.example.com/v1", batch=batch) as teacher,
        pytest.raises(NetworkRefusedError) as caught,
    ):
        list(teacher.generate([Example("e", "x", (Message("user", "q"),), None)], SAMPLING))
    text = "".join(
        traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
    )
    assert frame in text
    assert PLANTED not in text


def test_the_scan_finds_a_planted_key_and_a_planted_prompt(tmp_path):
    def careless(body, _):
        return f"you said {body['messages'][0]['content']} with {PLANTED}"

    with FakeOpenAI(Behaviour(say=careless)) as server, engine(tmp_path, server.url) as teacher:
        list(teacher.generate([Example("e", "x", (Message("user", PROMPT),), None)], SAMPLING))
    assert found_in(tmp_path, PLANTED) == ["calls.sqlite"]
    assert found_in(tmp_path, PROMPT) == ["calls.sqlite"]
    (tmp_path / "log.txt").write_text(f"Authorization: Bearer {PLANTED}", encoding="utf-8")
    assert "log.txt" in found_in(tmp_path, PLANTED)
