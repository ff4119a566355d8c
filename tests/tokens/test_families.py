"""The masks of eight families of models: golden files, and laws that hold for any conversation."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tokens.model_families import CONVERSATIONS, FAMILIES, FOLDER, golden, open_family
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from stillhouse.core.errors import InputError, ModelError
from stillhouse.core.rows import Message, ToolCall
from stillhouse.tokens.encode import encode_conversation, encode_prompt
from stillhouse.tokens.ends import end_ids
from stillhouse.tokens.silence import silence
from stillhouse.tokens.template import ChatTemplate, PlainTemplate
from stillhouse.tokens.tokenizer import TextTokenizer, load_tokenizer

BY_NAME = {family.name: family for family in FAMILIES}
NAMES = tuple(BY_NAME)
CHATS = tuple(name for name in NAMES if name != "gpt2")


def own_turns(messages, family):
    """The turns as OpenAI's API writes them, as a user of transformers would pass them."""
    turns, waiting = [], []
    for message in messages:
        turn = {"role": message.role, "content": message.content}
        if message.tool_calls:
            calls = [
                (f"call{len(waiting) + at:05d}", call) for at, call in enumerate(message.tool_calls)
            ]
            as_text = family.name.startswith("deepseek")
            turn["tool_calls"] = [
                {"id": name, "type": "function", "function": {
                    "name": call.name,
                    "arguments": call.arguments if as_text else json.loads(call.arguments)}}
                for name, call in calls
            ]  # fmt: skip
            waiting += calls
        if message.role == "tool":
            turn |= {"tool_call_id": waiting[0][0], "name": waiting[0][1].name}
        if family.name == "gpt-oss" and "</think>" in message.content:
            thought, said = message.content.split("</think>")
            turn |= {"thinking": thought.removeprefix("<think>").strip(), "content": said.strip()}
        turns.append(turn)
    return turns


def encode(name, messages):
    tokenizer, template = open_family(BY_NAME[name])
    return encode_conversation(messages, template, tokenizer)


def runs(encoded):
    """The learned tokens, as (first, end) of each run without a gap."""
    edges = np.flatnonzero(np.diff([0, *encoded.is_trained.astype(int), 0]))
    return edges.reshape(-1, 2).tolist()


def text_of(encoded, first, end):
    start, stop = encoded.byte_offsets[first, 0], encoded.byte_offsets[end - 1, 1]
    return encoded.text.encode()[start:stop].decode()


def check_laws(name, messages, encoded):
    family = BY_NAME[name]
    tokenizer, template = open_family(family)
    answers = [at for at, message in enumerate(messages) if message.role == "assistant"]
    left_out = {one.turn for one in encoded.left_out}
    learned = [at for at in answers if at not in left_out]
    spans = runs(encoded)
    # every answer is learned but those that are named, the last one always
    assert len(spans) == len(learned)
    assert learned[-1] == answers[-1]
    assert tokenizer.decode(encoded.ids, skip_special=False) == encoded.text
    # one opening token at most, never learned
    if family.bos:
        opened = np.flatnonzero(encoded.ids == tokenizer.encode(family.bos)[0][0]).tolist()
        assert opened in ([], [0])
        assert bool(opened) == (not name.startswith(("phi", "gpt-oss")))
    for turn, (first, end) in zip(learned, spans, strict=True):
        text = text_of(encoded, first, end)
        # what stands before is what the model is asked with, token for token
        prompt = template.prompt_text(messages[:turn])
        start = encoded.byte_offsets[first, 0]
        assert encoded.text.startswith(prompt)
        between = encoded.text.encode()[len(prompt.encode()) : start].decode()
        assert re.fullmatch(r"(\s*<think>\s*</think>\n*)?", between)
        # (a cut that an earlier answer needed parts a token that a server would not part)
        if not between and not any(seam < start for seam in encoded.seams):
            ids = encode_prompt(messages[:turn], template, tokenizer)
            assert encoded.ids[:first].tolist() == ids.tolist()
        # the token that ends the turn is learned once, at its end
        ended = [one for one in family.ends if text.endswith(one)]
        is_history = name == "gpt-oss" and turn != answers[-1] and not messages[turn].tool_calls
        assert len(ended) == (0 if is_history else 1)
        assert sum(text.count(one) for one in family.ends) == len(ended)
        # the answer is there, and no empty thought
        said = messages[turn].content.rsplit("</think>", 1)[-1].strip()
        assert said in text
        assert all(call.name in text for call in messages[turn].tool_calls)
        # (a plain form has none of its own, and writes what the row holds)
        assert name == "gpt2" or not re.search(r"<think>\s*</think>", text)


@pytest.mark.parametrize("name", NAMES)
def test_masks_equal_the_golden_file(name):
    expected = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")

    assert golden(BY_NAME[name]) == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", CONVERSATIONS)
def test_laws_of_the_mask_hold(name, kind):
    messages = CONVERSATIONS[kind]
    try:
        encoded = encode(name, messages)
    except InputError:
        assert "\nrefused" in (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
        return

    check_laws(name, messages, encoded)
    learned = "".join(text_of(encoded, *run) for run in runs(encoded))
    others = [turn.content for turn in messages if turn.role != "assistant"]
    assert not any(other in learned for other in others)


@pytest.fixture(scope="module")
def autos(tmp_path_factory):
    """transformers' own tokenizer of a family, with the template as its models come with it."""
    from transformers import AutoTokenizer

    made = {}

    def open_auto(family):
        if family.name not in made:
            folder = tmp_path_factory.mktemp("auto")
            tokenizer, _ = open_family(family)
            tokenizer._backend.save(str(folder / "tokenizer.json"))
            specials = {"tokenizer_class": "PreTrainedTokenizerFast", **tokenizer.specials}
            (folder / "tokenizer_config.json").write_text(json.dumps(specials))
            (folder / "chat_template.jinja").write_text(family.source)
            made[family.name] = AutoTokenizer.from_pretrained(folder)
        return made[family.name]

    return open_auto


@pytest.mark.parametrize("name", CHATS)
def test_text_and_ids_are_those_of_apply_chat_template(name, autos):
    family = BY_NAME[name]
    auto, (_, template) = autos(family), open_family(family)
    said = {} if not family.is_silent else {"enable_thinking": False}
    dated = re.sub(
        r"strftime_now\('(.*?)'\)", lambda it: repr(template.now.strftime(it[1])), family.source
    )
    compared = 0
    for kind, messages in CONVERSATIONS.items():
        ask = {"chat_template": dated, "tokenize": False, **said}
        turns = own_turns(messages, family)
        if name == "deepseek-v3" and "tool" in kind:
            continue  # its calls need a null content, which transformers removes
        try:
            encoded = encode(name, messages)
        except InputError:
            continue
        prompts = [at for at, turn in enumerate(messages) if turn.role == "assistant"]
        for at in prompts:
            theirs = auto.apply_chat_template(turns[:at], add_generation_prompt=True, **ask)
            assert template.prompt_text(messages[:at]) == theirs
        if name == "deepseek-r1" or (name == "deepseek-v3.1" and "thought" in kind):
            continue  # the template drops the thought, so what is learned is built on the prompt
        theirs = auto.apply_chat_template(turns, **ask)
        assert encoded.text == theirs
        if not encoded.seams:
            assert encoded.ids.tolist() == auto(theirs, add_special_tokens=False).input_ids
        compared += 1
    assert compared >= (0 if name == "deepseek-r1" else 5)


@pytest.mark.parametrize("name", CHATS)
def test_what_ends_an_answer_is_known(name):
    family = BY_NAME[name]
    tokenizer, template = open_family(family)

    ends = {tokenizer.token_of(token) for token in end_ids(tokenizer, template)}

    assert ends == {family.ends[0], family.eos}


# thinking off


def test_off_writes_qwen_3_as_enable_thinking_false_does(autos):
    tokenizer, template = open_family(BY_NAME["qwen3-off"])
    auto = autos(BY_NAME["qwen3"])
    turns = [{"role": "user", "content": "?"}]

    text = template.prompt_text((Message("user", "?"),))

    expected = auto.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    assert text == expected
    assert text.endswith("<think>\n\n</think>\n\n")
    # whoever renders the template that ships, with or without the switch, writes the same
    for switch in ({}, {"enable_thinking": True}):
        shipped = auto.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True,
            chat_template=tokenizer.chat_template, **switch,
        )  # fmt: skip
        assert shipped == expected
    assert template.digest != open_family(BY_NAME["qwen3"])[1].digest


@pytest.mark.parametrize(
    ("name", "reason"),
    [("deepseek-r1", "opens a thought in every prompt"), ("gpt-oss", "reads reasoning_effort")],
)
def test_off_is_refused_for_models_that_always_think(name, reason):
    tokenizer, _ = open_family(BY_NAME[name])

    with pytest.raises(ModelError, match=reason):
        silence(tokenizer)


@pytest.mark.parametrize("name", [one.name for one in FAMILIES if one.thinks == "never"])
def test_off_changes_nothing_for_models_that_never_think(name):
    tokenizer, _ = open_family(BY_NAME[name])
    if name == "gpt2":
        with pytest.raises(ModelError, match="no chat template"):
            silence(tokenizer)
    else:
        assert silence(tokenizer) is tokenizer


def test_off_sets_the_switch_of_deepseek_3_1():
    tokenizer, template = open_family(BY_NAME["deepseek-v3.1"])
    asked = (Message("user", "?"),)
    thinks = tokenizer.with_template("{% set thinking = true %}\n" + tokenizer.chat_template)
    assert ChatTemplate.of(thinks).prompt_text(asked).endswith("<think>")

    told = ChatTemplate.of(silence(tokenizer)).prompt_text(asked)

    assert told == template.prompt_text(asked)
    assert told.endswith("</think>")


# any conversation

SAYING = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="<[|"),
                 min_size=1, max_size=20)  # fmt: skip
THOUGHT = SAYING.map(lambda text: f"<think>\n{text.strip() or 'so'}\n</think>\n\n")
EMPTY = st.sampled_from(["", "<think>\n\n</think>\n\n", "<think></think>"])
ANSWER = st.builds(lambda thought, said: thought + said, EMPTY | THOUGHT, SAYING)
CALL = st.builds(
    lambda name, value: ToolCall(name, json.dumps({"value": value})),
    st.sampled_from(["look", "count"]), SAYING,
)  # fmt: skip


@st.composite
def talks(draw):
    turns = [Message("system", draw(SAYING))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        turns.append(Message("user", draw(SAYING)))
        if draw(st.integers(0, 3)) == 0:
            turns += [Message("assistant", "", (draw(CALL),)), Message("tool", draw(SAYING))]
        turns.append(Message("assistant", draw(ANSWER)))
    return tuple(turns)


def holds_for_any_conversation(name, messages):
    try:
        encoded = encode(name, messages)
    except InputError:
        return  # each refusal has its golden line
    check_laws(name, messages, encoded)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12, deadline=None)
@given(messages=talks())
def test_laws_of_the_mask_hold_for_any_conversation(name, messages):
    holds_for_any_conversation(name, messages)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=500, deadline=None)
@given(messages=talks())
def test_laws_of_the_mask_hold_for_many_conversations(name, messages):
    holds_for_any_conversation(name, messages)


# real tokenizers


@pytest.mark.parametrize("name", ["qwen", "gpt2"])
def test_masks_hold_with_the_real_vocabulary(name, families, tmp_path):
    messages = CONVERSATIONS["accents that combine, emoji of several parts, other scripts"]
    if name == "qwen":
        from transformers import AutoTokenizer

        AutoTokenizer.from_pretrained(families / name).save_pretrained(tmp_path)
        tokenizer = load_tokenizer(tmp_path)
        tokenizer = tokenizer.with_template(BY_NAME["qwen3"].source)
        template = ChatTemplate.of(silence(tokenizer))
    else:
        files = [str(families / name / one) for one in ("vocab.json", "merges.txt")]
        backend = Tokenizer(BPE.from_file(*files))
        backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
        backend.decoder = ByteLevelDecoder()
        backend.add_special_tokens(["<|endoftext|>"])
        tokenizer = TextTokenizer(backend, {"eos_token": "<|endoftext|>"}, None)
        template = PlainTemplate(tokenizer.eos_token)

    encoded = encode_conversation(messages, template, tokenizer)

    ((first, end),) = runs(encoded)
    ending = "<|im_end|>" if name == "qwen" else "<|endoftext|>"
    assert text_of(encoded, first, end) == messages[-1].content + ending
    assert encode_prompt(messages[:1], template, tokenizer).tolist() == encoded.ids[:first].tolist()
    assert encoded.seams == ()
