"""The wire format: what is sent says everything, what comes back is named."""

import json

import pytest

from stillhouse.core.errors import UsageError
from stillhouse.core.rows import Message, ToolCall
from stillhouse.core.sampling import Sampling
from stillhouse.engines.openai_wire import OpenAIWire
from stillhouse.engines.prices import FREE
from stillhouse.engines.wire import (
    Asking,
    Decoding,
    Endpoint,
    completion_of,
    most_prompt_tokens,
    question_of,
)
from stillhouse.store.ledger import Usage

MESSAGES = (Message("system", "Be brief."), Message("user", "Hi"))
ASKING = Asking(Sampling(max_new_tokens=9, temperature=0.7), Decoding(seed=5))


def wire(dialect="openai", model="m", url="http://x/v1"):
    return OpenAIWire(Endpoint(model, url, "p", dialect), FREE)


def body(dialect="openai", asking=ASKING, index=0):
    return json.loads(question_of(wire(dialect), "e", MESSAGES, asking, index).body)


def read_completion(example_id, value, asking):
    return completion_of(example_id, wire().read(value), asking)


def test_every_sampling_field_is_sent():
    assert body(index=2) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
        ],
        "n": 1,
        "stream": False,
        "max_completion_tokens": 9,
        "temperature": 0.7,
        "top_p": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "seed": 7,
    }


def test_a_server_is_told_the_neutral_value_of_what_it_would_choose_itself():
    assert body("vllm")["top_k"] == -1
    assert body("llama_server")["top_k"] == 0
    assert body("llama_server")["min_p"] == 0.0
    assert body("ollama")["max_tokens"] == 9


@pytest.mark.parametrize(
    ("dialect", "thinking", "field", "value"),
    [
        ("vllm", "off", "chat_template_kwargs", {"enable_thinking": False}),
        ("llama_server", "on", "chat_template_kwargs", {"enable_thinking": True}),
        ("ollama", "off", "reasoning_effort", "none"),
        ("openai", "off", "reasoning_effort", "none"),
    ],
)
def test_thinking_is_switched_in_the_servers_own_words(dialect, thinking, field, value):
    asking = Asking(ASKING.sampling, ASKING.decoding, thinking)
    assert body(dialect, asking)[field] == value
    assert field not in body(dialect)


def test_what_a_server_cannot_be_asked_is_refused():
    with pytest.raises(UsageError, match="no way is known to switch thinking off"):
        body("other", Asking(ASKING.sampling, ASKING.decoding, "off"))
    with pytest.raises(UsageError, match="no sampling fields while it thinks"):
        body("openai", Asking(ASKING.sampling, ASKING.decoding, "on"))
    with pytest.raises(UsageError, match="30 log-probabilities"):
        body(asking=Asking(ASKING.sampling, Decoding(top_logprobs=30)))
    thinking = Asking(Sampling(9, temperature=1.0), Decoding(seed=5), "on")
    assert "temperature" not in body("openai", thinking)


def test_whatever_shapes_the_answer_shapes_the_key():
    def key(model="m", url="http://x/v1", index=0, asking=ASKING, messages=MESSAGES):
        return question_of(wire(model=model, url=url), "e", messages, asking, index).key

    sampling, decoding = ASKING.sampling, ASKING.decoding
    keys = [
        key(),
        key(model="n"),
        key(url="http://y/v1"),
        key(index=1),
        key(messages=MESSAGES[1:]),
        key(messages=(Message("user", "Be brief."), Message("user", "Hi"))),
        key(asking=Asking(Sampling(10, 0.7), decoding)),
        key(asking=Asking(Sampling(9, 0.8), decoding)),
        key(asking=Asking(sampling, Decoding(seed=6))),
        key(asking=Asking(sampling, Decoding(seed=5, top_p=0.9))),
        key(asking=Asking(sampling, Decoding(seed=5, stop=("a",)))),
        key(asking=Asking(sampling, Decoding(seed=5, top_logprobs=3))),
        key(asking=Asking(sampling, decoding, "off")),
        key(asking=Asking(sampling, decoding, prompt="song/2")),
        key(asking=Asking(sampling, decoding, schema={"type": "object"})),
    ]
    assert len(set(keys)) == len(keys)
    assert key() == key()


@pytest.mark.parametrize(
    "text", ["", "plain words", "\u65e5\u672c\u8a9e", "\U0001f600" * 5, "\ud800"]
)
def test_the_upper_count_of_tokens_is_never_below_the_bytes(text):
    assert most_prompt_tokens([Message("user", text)]) > len(text.encode("utf-8", "surrogatepass"))


def reply(message=None, finish="stop", logprobs=None, **more):
    given = {"role": "assistant", "content": "Hello", "refusal": None} | (message or {})
    choice = {"index": 0, "message": given, "finish_reason": finish, "logprobs": logprobs}
    return {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}} | more


LOGPROBS = {
    "content": [
        {
            "token": "\ufffd",
            "bytes": [0xE2, 0x82],
            "logprob": -0.5,
            "top_logprobs": [{"token": "a", "bytes": None, "logprob": -0.5}],
        }
    ]
}


@pytest.mark.parametrize(
    ("value", "finish", "reason"),
    [
        (reply(), "stop", ""),
        (reply(finish="length"), "length", ""),
        (reply({"refusal": "No."}), "error", "refusal"),
        (reply(finish="content_filter"), "error", "refusal"),
        (reply({"content": " \n"}), "error", "empty_answer"),
        (reply({"content": None}), "error", "empty_answer"),
        (reply(finish=None), "error", "no_finish_reason"),
        (reply(finish="eos"), "error", "no_finish_reason"),
        (reply({"reasoning_content": "Hmm"}), "error", "unexpected_thinking"),
        (reply({"content": "<think>Hmm</think>\n\nHello"}), "error", "unexpected_thinking"),
    ],
)
def test_how_an_answer_ended_is_always_known(value, finish, reason):
    found = read_completion("e", value, ASKING)
    assert (found.finish, found.reason) == (finish, reason)


def test_missing_logprobs_are_noticed_only_when_they_were_asked_for():
    asking = Asking(ASKING.sampling, Decoding(top_logprobs=1))
    assert read_completion("e", reply(), asking).reason == "no_logprobs"
    assert read_completion("e", reply(logprobs={"content": [{}]}), asking).reason == "no_logprobs"
    found = read_completion("e", reply(logprobs=LOGPROBS), asking)
    assert found.finish == "stop"
    assert found.logprobs[0].token == b"\xe2\x82"
    assert found.logprobs[0].top == ((b"a", -0.5),)


def test_thoughts_and_tool_calls_are_kept_apart_from_the_answer():
    asking = Asking(ASKING.sampling, ASKING.decoding, "on")
    told = read_completion("e", reply({"reasoning": "Hmm"}), asking)
    inside = read_completion("e", reply({"content": "<think>Hmm</think>\n\nHello"}), asking)
    assert (told.text, told.reasoning) == (inside.text, inside.reasoning) == ("Hello", "Hmm")
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    tools = read_completion(
        "e", reply({"content": None, "tool_calls": [call]}, "tool_calls"), ASKING
    )
    assert (tools.finish, tools.text) == ("stop", "")
    assert tools.tool_calls == (ToolCall("f", '{"a": 1}'),)


def test_usage_is_read_with_what_was_cached_and_never_guessed():
    told = {
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 6},
    }
    assert wire().usage({"usage": told}) == Usage(10, 4, 6)
    assert wire().usage({"usage": {"prompt_tokens": 10, "completion_tokens": 4}}) == Usage(10, 4, 0)
    for odd in ({}, {"usage": None}, {"usage": {"prompt_tokens": "3", "completion_tokens": 1}}):
        assert wire().usage(odd) is None
