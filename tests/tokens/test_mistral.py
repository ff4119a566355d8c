"""Mistral's formats against Mistral's own library, mistral-common, which brings its vocabularies.

It writes ids; they are compared as text, in which a control token has one spelling. The format of
Mistral Small is that of its tokenizer v7: no vocabulary of it is in the library, and an older one
of the same kind, told to be v7, is written by the same code.
"""

import json
import re
from itertools import groupby
from pathlib import Path

import pytest
from tests.tokens.model_families import CONVERSATIONS, FAMILIES, open_family

from stillhouse.core.errors import StillhouseError
from stillhouse.tokens.encode import encode_conversation

VOCABULARIES = {
    "mistral-v0.2": "tokenizer.model.v1",
    "mistral-v0.3": "mistral_instruct_tokenizer_240323.model.v3",
    "mistral-tekken": "tekken_240911.json",
}
REFUSED = {"empty answer"}
"""By the library, which asks for a text or a call."""
DIFFER = {
    ("mistral-v0.3", "answer in white space"): "the model's template trims answers",
    ("mistral-tekken", "call of a tool and its result"): "the model's template writes calls as v3",
}
"""Where the template that ships with the model and the library disagree; ours is the template."""


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("mistral_common", reason="mistral-common is not installed")


@pytest.fixture(scope="module", params=VOCABULARIES)
def family_and_writer(request, library, tmp_path_factory):
    from mistral_common.protocol.instruct.validator import ValidationMode
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    path = Path(library.__file__).parent / "data" / VOCABULARIES[request.param]
    if request.param == "mistral-tekken":
        path = as_v7(path, tmp_path_factory.mktemp("tekken"))
    writer = MistralTokenizer.from_file(str(path), mode=ValidationMode.finetuning)
    return next(one for one in FAMILIES if one.name == request.param), writer


def as_v7(path, folder):
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    told = json.loads(path.read_bytes())
    told.pop("image")
    told["config"]["version"] = "v7"
    named = Tekkenizer.DEPRECATED_SPECIAL_TOKENS
    told["special_tokens"] = [one | {"token_str": one["token_str"].value} for one in named]
    (folder / "tekken.json").write_text(json.dumps(told))
    return folder / "tekken.json"


def asked(messages, opening):
    """The conversation as a user of the library would build it."""
    from mistral_common.protocol.instruct import messages as kinds
    from mistral_common.protocol.instruct.request import ChatCompletionRequest
    from mistral_common.protocol.instruct.tool_calls import FunctionCall, ToolCall

    turns = [kinds.SystemMessage(content=opening)] if opening else []
    for one in messages:
        if one.tool_calls:
            named = [
                FunctionCall(name=call.name, arguments=call.arguments) for call in one.tool_calls
            ]
            calls = [ToolCall(id=f"call{at:05}", function=call) for at, call in enumerate(named)]
            turns.append(kinds.AssistantMessage(tool_calls=calls))
        elif one.role == "tool":
            turns.append(kinds.ToolMessage(content=one.content, tool_call_id="call00000"))
        else:
            kind = {
                "system": "SystemMessage",
                "user": "UserMessage",
                "assistant": "AssistantMessage",
            }
            turns.append(getattr(kinds, kind[one.role])(content=one.content))
    return ChatCompletionRequest(messages=turns)


def spelled(writer, ids):
    """Ids as text; SentencePiece spells spaces and single bytes in a way of its own."""
    from mistral_common.tokens.tokenizers.base import SpecialTokenPolicy

    text = writer.tokenizer.decode(ids, special_token_policy=SpecialTokenPolicy.KEEP)
    pieces = re.split(r"((?:<0x[0-9A-F]{2}>)+)", text.replace("▁", " "))
    return "".join(
        bytes.fromhex(re.sub(r"<0x|>", "", piece)).decode() if piece.startswith("<0x") else piece
        for piece in pieces
    )


def learned_of(encoded):
    """What is learned, stretch by stretch."""
    data = encoded.text.encode()
    spans = zip(encoded.byte_offsets.tolist(), encoded.is_trained.tolist(), strict=True)
    stretches = [
        [span for span, _ in group]
        for learned, group in groupby(spans, lambda one: one[1])
        if learned
    ]
    return [data[own[0][0] : own[-1][1]].decode() for own in stretches]


@pytest.mark.parametrize("kind", CONVERSATIONS)
def test_texts_and_what_is_learned_of_them_are_those_of_mistral_common(kind, family_and_writer):
    from mistral_common.exceptions import MistralCommonException

    family, writer = family_and_writer
    tokenizer, template = open_family(family)
    try:
        encoded = encode_conversation(CONVERSATIONS[kind], template, tokenizer)
    except StillhouseError:
        assert family.name != "mistral-tekken"
        assert {one.role for one in CONVERSATIONS[kind]} & {"tool", "system"}
        return
    opening = ""
    if family.name == "mistral-tekken" and CONVERSATIONS[kind][0].role != "system":
        opening = re.search(r"\[SYSTEM_PROMPT\](.*)\[/SYSTEM_PROMPT\]", encoded.text, re.S)[1]
    request = asked(CONVERSATIONS[kind], opening)
    if kind in REFUSED:
        with pytest.raises(MistralCommonException):
            write(writer, request)
        return
    text, answers = write(writer, request)
    same = (encoded.text, learned_of(encoded)) == (text, answers)
    assert same != ((family.name, kind) in DIFFER), (encoded.text, text)


def write(writer, request):
    """The library's own text, and of it each answer with its end."""
    own = [one for one in request.messages if one.role == "assistant"]
    instruct = writer.instruct_tokenizer
    ids = [instruct.encode_assistant_message(one, is_before_last_user_message=False) for one in own]
    text = spelled(instruct, writer.encode_chat_completion(request).tokens)
    return text, [spelled(instruct, one) for one in ids]
