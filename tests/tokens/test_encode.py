import json
import shutil
from itertools import groupby
from operator import attrgetter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tokens.model_families import CONVERSATIONS, FAMILIES, open_family
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Message
from stillhouse.tokens.encode import cut_answer, encode_conversation, encode_prompt
from stillhouse.tokens.show import explain_mask
from stillhouse.tokens.template import ChatTemplate, PlainTemplate, build_template
from stillhouse.tokens.tokenizer import TextTokenizer, digest_ids, load_tokenizer

ROLE = attrgetter("role")
SAYING = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


def trained_text(encoded):
    data = encoded.text.encode()
    spans = encoded.byte_offsets[encoded.is_trained].tolist()
    return b"".join(data[start:end] for start, end in spans).decode()


def test_ids_equal_apply_chat_template(tiny, auto, conversation):
    encoded = encode_conversation(conversation, ChatTemplate.of(tiny), tiny)

    messages = [{"role": turn.role, "content": turn.content} for turn in conversation]
    expected = auto.apply_chat_template(messages, tokenize=True, return_dict=False)
    assert encoded.ids.tolist() == expected
    assert encoded.seams == ()


@settings(max_examples=40, deadline=None)
@given(question=SAYING, answer=SAYING)
def test_mask_covers_answers_byte_for_byte(tiny, plain, question, answer):
    messages = (Message("user", question), Message("assistant", answer)) * 2

    for template in (ChatTemplate.of(tiny), plain):
        encoded = encode_conversation(messages, template, tiny)

        assert trained_text(encoded) == f"{answer}<|end|>" * 2
        assert tiny.decode(encoded.ids, skip_special=False) == encoded.text


@settings(max_examples=40, deadline=None)
@given(question=SAYING, answer=SAYING)
def test_tokens_before_the_answer_are_the_prompt_that_inference_sees(tiny, plain, question, answer):
    messages = (Message("user", question), Message("assistant", answer))

    encoded = encode_conversation(messages, plain, tiny)

    prompt = encode_prompt(messages[:1], plain, tiny)
    first = int(np.argmax(encoded.is_trained))
    assert encoded.ids[:first].tolist() == prompt.tolist()


def test_a_token_over_the_border_is_split_and_counted(tiny, plain):
    messages = (Message("user", "which"), Message("assistant", "the song"))
    whole, _ = tiny.encode(plain.render(messages).text)

    encoded = encode_conversation(messages, plain, tiny)

    assert len(encoded.seams) == 1
    assert encoded.ids.tolist() != whole.tolist()
    assert trained_text(encoded) == "the song<|end|>"


def test_a_token_over_the_end_of_an_answer_is_split(tiny):
    bare = ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}")
    messages = (Message("user", "x "), Message("assistant", "answ"), Message("user", "er"))
    assert tiny.token_of(int(tiny.encode("answer")[0][-1])).endswith("wer")

    encoded = encode_conversation(messages, bare, tiny)

    assert trained_text(encoded) == "answ"
    assert encoded.seams


def test_line_breaks_that_merge_only_in_the_prompt_are_a_seam(tiny):
    template = PlainTemplate(tiny.eos_token, user="{content}\n\n")
    messages = (Message("user", "maybe"), Message("assistant", "yes"))

    encoded = encode_conversation(messages, template, tiny)

    first = int(np.argmax(encoded.is_trained))
    assert encoded.ids[:first].tolist() == encode_prompt(messages[:1], template, tiny).tolist()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(SAYING, SAYING), min_size=1, max_size=4))
def test_whoever_was_encoded_before_changes_nothing(tiny_folder, tiny, plain, said):
    alone = load_tokenizer(tiny_folder)
    for question, answer in [*said, (said[-1][0], "yes"), (said[-1][0], "no")]:
        turns = (Message("user", question), Message("assistant", answer))
        alone.encode_opening("forget")
        one, other = (encode_conversation(turns, plain, by) for by in (alone, tiny))
        assert one.ids.tolist() == other.ids.tolist()
        assert one.byte_offsets.tolist() == other.byte_offsets.tolist()
        assert (one.is_trained.tolist(), one.seams) == (other.is_trained.tolist(), other.seams)


def test_the_prompt_of_several_answers_is_encoded_once(tiny, monkeypatch):
    asked = []

    def encode(self, text, real=TextTokenizer.encode):
        asked.append(text)
        return real(self, text)

    monkeypatch.setattr(TextTokenizer, "encode", encode)

    for answer in ("yes", "no", "maybe"):
        turns = (Message("user", "is it so?"), Message("assistant", answer))
        assert encode_conversation(turns, ChatTemplate.of(tiny), tiny).seams == ()

    assert len(asked) == 4


@pytest.mark.parametrize("name", ["mistral-7b-v0.1", "t5-small"])
def test_real_families_train_on_the_answer_alone(families, name):
    tokenizer = load_tokenizer(families / name)
    template = PlainTemplate(tokenizer.eos_token, user="Q: {content}\n", assistant="A: {content}")
    messages = (Message("user", "what?"), Message("assistant", "日本語 has 😀 faces"))

    encoded = encode_conversation(messages, template, tokenizer)

    said = tokenizer.decode(encoded.ids[encoded.is_trained])
    assert name == "t5-small" or said.endswith("日本語 has 😀 faces")
    assert "Q:" not in said
    assert "A:" not in said
    first = int(np.argmax(encoded.is_trained))
    prompt = encode_prompt(messages[:1], template, tokenizer)
    assert encoded.ids[:first].tolist() == prompt.tolist()
    assert encoded.ids[encoded.is_trained][-1] == tokenizer.eos_id


def test_a_piece_after_a_seam_gets_no_space_of_its_own(families):
    tokenizer = load_tokenizer(families / "mistral-7b-v0.1")

    alone, _ = tokenizer.encode_spans("answer")
    after, spans = tokenizer.encode_spans("answer", continues=True)

    assert tokenizer.token_of(int(alone[0])) == "▁answer"
    assert tokenizer.decode(np.concatenate([tokenizer.encode("[")[0], after])) == "[answer"
    assert spans[0, 0] == 0
    assert spans[-1, 1] == 6


def test_position_zero_is_never_trained(tiny):
    template = PlainTemplate(tiny.eos_token)

    encoded = encode_conversation((Message("assistant", "yes no"),), template, tiny)

    assert not encoded.is_trained[0]
    assert encoded.is_trained[1:].all()


def test_a_conversation_without_an_answer_trains_nothing(tiny, plain):
    encoded = encode_conversation((Message("user", "yes"),), plain, tiny)

    assert encoded.num_trained == 0


def test_an_answer_without_a_token_is_refused(tiny):
    template = PlainTemplate("")

    with pytest.raises(InputError, match="answers are empty"):
        encode_conversation((Message("user", "a"), Message("assistant", "")), template, tiny)


def test_half_a_surrogate_pair_is_refused(tiny, plain):
    with pytest.raises(InputError, match="surrogate"):
        encode_conversation((Message("user", "\udc00"), Message("assistant", "a")), plain, tiny)


def test_digests_tell_views_and_completions_apart(tiny, plain):
    first = (Message("user", "a"), Message("assistant", "yes"))
    second = (Message("user", "b"), Message("assistant", "yes"))
    chat = ChatTemplate.of(tiny)

    one, same, other = (encode_conversation(m, chat, tiny) for m in (first, first, second))
    in_plain = encode_conversation(first, plain, tiny)

    assert one.view_digest == same.view_digest
    assert len({one.view_digest, other.view_digest, in_plain.view_digest}) == 3
    assert one.completion_digest == other.completion_digest
    assert one.completion_digest == digest_ids(one.ids[one.is_trained])


def test_view_shows_every_token_with_its_mask(tiny, plain):
    messages = (Message("user", "a"), Message("assistant", "\U0001fae0"))
    encoded = encode_conversation(messages, plain, tiny)

    views = explain_mask(messages, plain, tiny).tokens

    assert [view.position for view in views] == list(range(len(encoded.ids)))
    assert [view.text for view in views if view.is_trained][-1] == "<|end|>"
    assert "\\xf0" in "".join(view.text for view in views)
    assert views[-1].token == "<|end|>"
    assert views[0].byte_span[0] == 0


def with_post_processor(folder, target, template):
    """A copy of a tokenizer that names <|pad|> as its bos and wraps texts as `template` says."""
    shutil.copytree(folder, target)
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    specials = [(name, backend.token_to_id(name)) for name in ("<|pad|>", "<|end|>")]
    backend.post_processor = TemplateProcessing(single=template, special_tokens=specials)
    backend.save(str(target / "tokenizer.json"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["bos_token"] = "<|pad|>"
    (target / "tokenizer_config.json").write_text(json.dumps(config))
    return target


@pytest.mark.parametrize(
    ("template", "added"), [("<|pad|> $A", "<|pad|>"), ("$A <|end|>", ""), ("<|end|> $A", "")]
)
def test_a_plain_template_opens_with_the_bos_that_the_tokenizer_adds(
    template, added, tiny_folder, tmp_path, conversation
):
    folder = with_post_processor(tiny_folder, tmp_path / "t", template)
    tokenizer = load_tokenizer(folder)

    plain = build_template({}, tokenizer)

    assert tokenizer.added_bos == added
    encoded = encode_conversation(conversation, plain, tokenizer)
    opens = [int(token) == tokenizer.encode("<|pad|>")[0][0] for token in encoded.ids]
    assert opens == [bool(added)] + [False] * (len(opens) - 1)
    assert not encoded.is_trained[0]


def test_a_tokenizer_that_adds_nothing_has_no_added_bos(tiny):
    assert tiny.added_bos == ""
    assert build_template({}, tiny) == PlainTemplate(tiny.eos_token)


def test_a_base_model_reads_a_plain_prompt_as_its_own_tokenizer_writes_it(families):
    from transformers import AutoTokenizer

    folder = families / "mistral-7b-v0.1"
    tokenizer = load_tokenizer(folder)
    plain = build_template({"user": "Q: {content}\nA: "}, tokenizer)
    theirs = AutoTokenizer.from_pretrained(folder)("Q: which song?\nA: ")["input_ids"]

    ids = encode_prompt((Message("user", "which song?"),), plain, tokenizer)

    assert tokenizer.added_bos == "<s>"
    assert ids.tolist() == theirs


def test_view_says_whose_words_a_token_is_part_of(tiny):
    messages = (
        Message("system", "be brief"),
        Message("user", "system or user?"),
        Message("assistant", "user"),
        Message("user", "sure"),
        Message("assistant", "yes"),
    )

    view = explain_mask(messages, ChatTemplate.of(tiny), tiny)

    said = [(role, "".join(one.text for one in run)) for role, run in groupby(view.tokens, ROLE)]
    assert said == [
        ("", "<|system|>"), ("system", "be brief"), ("", "<|end|><|user|>"),
        ("user", "system or user?"), ("", "<|end|><|assistant|>"), ("assistant", "user<|end|>"),
        ("", "<|user|>"), ("user", "sure"), ("", "<|end|><|assistant|>"),
        ("assistant", "yes<|end|>"),
    ]  # fmt: skip
    assert all(one.is_special == (one.text[:2] == "<|") for one in view.tokens)
    assert view.notes == ()


def test_view_shows_where_a_token_was_cut(tiny, plain):
    view = explain_mask((Message("user", "which"), Message("assistant", "the song")), plain, tiny)

    assert [one.position for one in view.tokens if one.is_cut] == [
        next(one.position for one in view.tokens if one.is_trained)
    ]


def test_view_says_what_is_not_learned_and_why():
    tokenizer, template = open_family(next(one for one in FAMILIES if one.name == "qwen3"))

    dropped = explain_mask(CONVERSATIONS["several answers with thoughts"], template, tokenizer)
    empty = explain_mask(CONVERSATIONS["single turn"], template, tokenizer)

    (note,) = dropped.notes
    assert note.startswith("turn 1 is not learned: the template writes it otherwise")
    (note,) = empty.notes
    assert "say thinking: off to ask with it" in note


@pytest.mark.parametrize(
    "family",
    [one for one in FAMILIES if one.thinks != "always"],  # they write no answer that is JSON alone
    ids=lambda one: one.name,
)
@pytest.mark.parametrize("blanks", ["", " \n"])
def test_a_cut_answer_ends_with_the_token_that_tells_its_class(family, blanks):
    tokenizer, template = open_family(family)
    answer = blanks + '{"why": "Ōsaka", "verdict": "ja wohl", "more": "ja wohl"}'
    end = answer.index('"ja wohl"') + len('"ja wohl"')
    encoded = encode_conversation(
        (Message("user", answer), Message("assistant", answer)), template, tokenizer
    )

    cut = cut_answer(encoded, answer, end)

    kept = len(cut.ids)
    assert cut.ids.tolist() == encoded.ids[:kept].tolist()
    data = encoded.text.encode()
    told = data[: int(cut.byte_offsets[-1, 1])].decode(errors="ignore")
    before = data[: int(cut.byte_offsets[-1, 0])].decode(errors="ignore")
    whole = encoded.text.rindex(answer.strip()) + end - len(blanks)
    assert len(before) < whole <= len(told)
    assert cut.last_answer == slice(encoded.last_answer.start, kept)
    assert cut.completion_digest == digest_ids(cut.ids[cut.is_trained])


def test_an_answer_that_the_template_writes_otherwise_has_no_place_to_cut(tiny, plain):
    encoded = encode_conversation((Message("user", "a"), Message("assistant", "yes")), plain, tiny)

    with pytest.raises(InputError, match="writes an answer otherwise than it was said: 'no'"):
        cut_answer(encoded, "no", 2)
