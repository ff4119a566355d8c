"""What each provider is sent, field by field, and what it cannot be asked."""

import json

import pytest

from stillhouse.core.errors import UsageError
from stillhouse.core.rows import Message, ToolCall
from stillhouse.core.sampling import Sampling
from stillhouse.engines.anthropic import AnthropicWire, closed_schema
from stillhouse.engines.bedrock import BedrockWire
from stillhouse.engines.gemini import GeminiWire
from stillhouse.engines.http import read_failure
from stillhouse.engines.ollama import OllamaWire
from stillhouse.engines.prices import FREE
from stillhouse.engines.wire import Asking, Decoding, Endpoint, completion_of, question_of
from stillhouse.store.ledger import Usage

MESSAGES = (Message("system", "Be brief."), Message("user", "Hi"))
PLAIN = Asking(Sampling(9, temperature=1.0), Decoding())
DRAWN = Asking(Sampling(9, temperature=0.7), Decoding(top_p=0.9, seed=5, stop=("END",)))


def anthropic(dialect="2026-10-21", **more):
    return AnthropicWire(Endpoint("m", "http://x", "anthropic", dialect, **more), FREE)


def gemini(dialect="gemini_3", **more):
    return GeminiWire(Endpoint("m", "http://x/v1beta", "gemini", dialect, **more), FREE)


def ollama(dialect="chat", context_tokens=512, **more):
    end = Endpoint("m", "http://x", "ollama", dialect, context_tokens=context_tokens, **more)
    return OllamaWire(end, FREE)


def bedrock(dialect="converse", model="m", **more):
    return BedrockWire(Endpoint(model, "http://x", "bedrock", dialect, **more), FREE)


def body(wire, asking=PLAIN, messages=MESSAGES, index=0):
    return json.loads(question_of(wire, "e", messages, asking, index).body)


def test_anthropic_is_sent_the_system_prompt_apart_and_no_sampling_field():
    assert body(anthropic()) == {
        "model": "m",
        "max_tokens": 9,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": False,
    }


def test_anthropics_older_version_is_sent_a_temperature():
    sent = body(anthropic("2023-06-01"), Asking(Sampling(9, 0.0), Decoding(stop=("END",))))
    assert (sent["temperature"], sent["stop_sequences"]) == (0.0, ["END"])
    assert "top_p" not in sent
    refused = Asking(Sampling(9, 1.0), Decoding(frequency_penalty=0.5))
    with pytest.raises(UsageError, match="takes no frequency_penalty here, and 0"):
        body(anthropic("2023-06-01"), refused)


@pytest.mark.parametrize(
    ("endpoint", "sent"),
    [
        ({"thinking": "off"}, {"type": "disabled"}),
        ({"thinking": "on"}, {"type": "adaptive", "display": "summarized"}),
        (
            {"thinking": "on", "thinking_tokens": 2000},
            {"type": "enabled", "budget_tokens": 2000},
        ),
    ],
)
def test_claude_is_told_whether_to_think(endpoint, sent):
    assert body(anthropic(**endpoint))["thinking"] == sent
    claude = bedrock("claude", **endpoint)
    assert body(claude)["additionalModelRequestFields"] == {"thinking": sent}


def test_gemini_is_sent_every_field_that_changes_nothing_by_its_neutral_value():
    assert body(gemini(), DRAWN, index=2) == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {
            "candidateCount": 1,
            "maxOutputTokens": 9,
            "temperature": 0.7,
            "topP": 0.9,
            "seed": 7,
            "stopSequences": ["END"],
        },
    }


@pytest.mark.parametrize(
    ("dialect", "thinking", "sent"),
    [
        ("gemini_3", "on", {"includeThoughts": True, "thinkingLevel": "high"}),
        ("gemini_2_5", "on", {"includeThoughts": True, "thinkingBudget": -1}),
        ("gemini_2_5", "off", {"includeThoughts": False, "thinkingBudget": 0}),
    ],
)
def test_gemini_is_told_whether_to_think_in_the_words_of_its_generation(dialect, thinking, sent):
    asking = Asking(PLAIN.sampling, PLAIN.decoding, thinking)
    found = body(gemini(dialect, thinking=thinking), asking)
    assert found["generationConfig"]["thinkingConfig"] == sent


def test_ollama_is_told_what_its_modelfile_would_decide():
    sent = body(ollama(thinking="off"), Asking(DRAWN.sampling, DRAWN.decoding, "off"))
    assert sent["options"] == {
        "num_ctx": 512,
        "num_predict": 9,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 0,
        "min_p": 0.0,
        "typical_p": 1.0,
        "repeat_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "seed": 5,
        "stop": ["END"],
    }
    assert (sent["truncate"], sent["shift"], sent["stream"], sent["think"]) == (False,) * 4
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    alone = body(ollama("generate"))
    assert (alone["prompt"], alone["system"]) == ("Hi", "Be brief.")
    assert "think" not in alone


def test_bedrock_is_sent_blocks_and_what_the_kind_of_model_takes():
    assert body(bedrock(), DRAWN) == {
        "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
        "system": [{"text": "Be brief."}],
        "inferenceConfig": {
            "maxTokens": 9,
            "temperature": 0.7,
            "topP": 0.9,
            "stopSequences": ["END"],
        },
    }
    assert body(bedrock("claude"))["inferenceConfig"] == {"maxTokens": 9}
    arn = "arn:aws:bedrock:us-east-1::foundation-model/meta.llama3:0"
    assert bedrock(model=arn).url == (
        "http://x/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2Fmeta.llama3%3A0/converse"
    )


TOOL = (*MESSAGES, Message("tool", "3"))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: body(anthropic(), DRAWN), "takes no temperature here, and 0.7"),
        (lambda: body(anthropic(), messages=TOOL), "no turn of role 'tool'"),
        (lambda: anthropic("2024-01-01"), "no version '2024-01-01'"),
        (lambda: anthropic(thinking="on", thinking_tokens=9), "thinking_tokens is 9"),
        (lambda: gemini(thinking="off"), "cannot be told not to think"),
        (lambda: gemini("gemini_1"), "no generation 'gemini_1'"),
        (lambda: body(gemini(), Asking(PLAIN.sampling, Decoding(top_logprobs=21))), "21 log-prob"),
        (lambda: ollama(context_tokens=0), "how much context"),
        (lambda: ollama("complete"), "no form 'complete'"),
        (lambda: body(ollama(context_tokens=9)), "leaves no room for a prompt"),
        (lambda: body(ollama("generate"), messages=MESSAGES * 2), "no turn of role 'system'"),
        (
            lambda: body(ollama("generate"), messages=(*MESSAGES, *MESSAGES[1:])),
            "one question and no conversation",
        ),
        (lambda: bedrock("titan"), "no kind 'titan'"),
        (lambda: bedrock(thinking="on"), "no field that switches thinking"),
        (lambda: body(bedrock("claude"), DRAWN), "takes no temperature"),
    ],
)
def test_what_a_provider_cannot_be_asked_is_refused(ask, message):
    with pytest.raises(UsageError, match=message):
        ask()


@pytest.mark.parametrize(
    "node",
    [
        {"type": "object"},
        {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "string"}},
    ],
)
def test_claude_is_not_held_to_an_object_that_closed_would_be_another(node):
    with pytest.raises(UsageError, match="closed objects only"):
        closed_schema({"type": "array", "items": node})


def test_anything_may_stand_where_a_schema_says_true():
    closed = closed_schema({"type": "object", "properties": {"a": True}})
    assert closed == {"type": "object", "properties": {"a": {}}, "additionalProperties": False}


def test_a_schema_for_claude_is_closed_and_has_no_bounds():
    item = {"type": "object", "properties": {"a": {"type": "string"}}}
    schema = {
        "type": "object",
        "title": "V",
        "properties": {"n": {"type": "integer", "minimum": 0}, "w": {"$ref": "#/$defs/W"}},
        "required": ["n"],
        "$defs": {"W": {"type": "array", "maxItems": 3, "items": item}},
    }
    assert closed_schema(schema) == {
        "type": "object",
        "title": "V",
        "properties": {"n": {"type": "integer"}, "w": {"$ref": "#/$defs/W"}},
        "required": ["n"],
        "$defs": {"W": {"type": "array", "items": item | {"additionalProperties": False}}},
        "additionalProperties": False,
    }


CALL = (ToolCall("look", '{"a": 1}'),)


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        (
            anthropic(),
            {
                "content": [{"type": "tool_use", "name": "look", "input": {"a": 1}}],
                "stop_reason": "tool_use",
            },
        ),
        (
            gemini(),
            {
                "candidates": [
                    {
                        "content": {
                            "parts": [{"functionCall": {"name": "look", "args": {"a": 1}}}]
                        },
                        "finishReason": "STOP",
                    }
                ]
            },
        ),
        (
            ollama(),
            {
                "message": {
                    "content": "",
                    "tool_calls": [{"function": {"name": "look", "arguments": {"a": 1}}}],
                },
                "done_reason": "stop",
            },
        ),
        (
            bedrock(),
            {
                "output": {
                    "message": {"content": [{"toolUse": {"name": "look", "input": {"a": 1}}}]}
                },
                "stopReason": "tool_use",
            },
        ),
    ],
)
def test_a_tool_call_is_an_answer_of_its_own(wire, value):
    found = completion_of("e", wire.read(value), PLAIN)
    assert (found.finish, found.text, found.tool_calls) == ("stop", "", CALL)


def test_thoughts_that_are_hidden_are_noticed_all_the_same():
    redacted = {
        "content": [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
    }
    assert completion_of("e", anthropic().read(redacted), PLAIN).reason == "unexpected_thinking"
    counted = {
        "candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 3, "thoughtsTokenCount": 40},
    }
    assert completion_of("e", gemini().read(counted), PLAIN).reason == "unexpected_thinking"


def test_a_blocked_prompt_is_a_refusal():
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}}
    assert gemini().has_answer(blocked)
    assert not gemini().has_answer({"promptFeedback": {}})
    assert completion_of("e", gemini().read(blocked), PLAIN).reason == "refusal"


@pytest.mark.parametrize(
    ("wire", "value", "usage"),
    [
        (
            anthropic(),
            {
                "usage": {
                    "input_tokens": 3,
                    "output_tokens": 5,
                    "cache_read_input_tokens": 20,
                    "cache_creation_input_tokens": None,
                }
            },
            Usage(23, 5, 20),
        ),
        (
            gemini(),
            {
                "usageMetadata": {
                    "promptTokenCount": 30,
                    "cachedContentTokenCount": 10,
                    "candidatesTokenCount": 4,
                    "thoughtsTokenCount": 6,
                }
            },
            Usage(30, 10, 10),
        ),
        (ollama(), {"prompt_eval_count": 7, "eval_count": 2}, Usage(7, 2)),
        (
            bedrock(),
            {"usage": {"inputTokens": 3, "outputTokens": 5, "cacheReadInputTokens": 4}},
            Usage(7, 5, 4),
        ),
    ],
)
def test_usage_counts_what_was_cached_and_what_was_thought(wire, value, usage):
    assert wire.usage(value) == usage
    assert wire.usage({}) is None


@pytest.mark.parametrize(
    ("headers", "content", "found"),
    [
        (
            {},
            b'{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": ['
            b'{"@type": "type.googleapis.com/google.rpc.Help", "links": []},'
            b'{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22.5s"}]}}',
            ("429 RESOURCE_EXHAUSTED", 22.5),
        ),
        (
            {"Retry-After": "3"},
            b'{"type": "error", "error": {"type": "rate_limit_error"}}',
            ("rate_limit_error", 3.0),
        ),
        (
            {"x-amzn-ErrorType": "ThrottlingException:http://internal.amazon.com/coral/"},
            b'{"message": "Too many requests"}',
            ("ThrottlingException", None),
        ),
        ({}, b'{"error": "busy", "details": 3}', ("", None)),
        ({}, b'{"error": {"details": [{"retryDelay": "soon"}, 3]}}', ("", None)),
    ],
)
def test_a_provider_says_in_its_own_way_why_and_how_long(headers, content, found):
    failure = read_failure(429, headers, content)
    assert (failure.reason, failure.code, failure.retry_after_s) == ("rate_limited", *found)
