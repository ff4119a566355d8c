import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tokens.model_families import CONVERSATIONS, FAMILIES, open_family

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Message
from stillhouse.tokens.encode import encode_conversation, encode_prompt
from stillhouse.tokens.fit import Misfit, _may_start, fit_to_context
from stillhouse.tokens.reader import Reader
from stillhouse.tokens.template import ChatTemplate, PlainTemplate

SYSTEM = Message("system", "be brief")
ANSWER = Message("assistant", "the answer is yes")
WORDS = st.lists(
    st.sampled_from(["the", "quick", "brown", "fox", "日本語", "😀", "café", "xyz", "\n"]),
    min_size=1,
    max_size=25,
).map(" ".join)


def fit(tiny, messages, max_tokens, room=0, cuttable=None):
    """What fits; None for a misfit."""
    reader = Reader("student", tiny, ChatTemplate.of(tiny), max_tokens)
    found = fit_to_context(messages, [reader], room_for_answer=room, cuttable=cuttable)
    return None if isinstance(found, Misfit) else found


@settings(max_examples=20, deadline=None)
@given(text=WORDS, max_tokens=st.integers(10, 60))
def test_the_cut_is_the_smallest_that_fits(tiny, text, max_tokens):
    def count(cut):
        messages = (SYSTEM, Message("user", text[cut:]), ANSWER)
        return len(encode_conversation(messages, ChatTemplate.of(tiny), tiny).ids)

    fitted = fit(tiny, (SYSTEM, Message("user", text), ANSWER), max_tokens)

    cuts = [at for at in range(len(text)) if _may_start(text, at)] + [len(text)]
    fitting = [at for at in cuts if count(at) <= max_tokens]
    if not fitting:
        assert fitted is None
        return
    assert fitted is not None
    assert fitted.num_cut_chars == fitting[0]
    assert fitted.num_tokens == count(fitting[0])
    assert fitted.messages == (SYSTEM, Message("user", text[fitting[0] :]), ANSWER)


@settings(max_examples=20, deadline=None)
@given(text=WORDS, max_tokens=st.integers(16, 60))
def test_a_field_loses_its_end_and_nothing_else(tiny, text, max_tokens):
    before, behind = "judge 'x': ", "\nsay yes or no"

    def count(kept):
        messages = (SYSTEM, Message("user", before + kept + behind), ANSWER)
        return len(encode_conversation(messages, ChatTemplate.of(tiny), tiny).ids)

    whole = (SYSTEM, Message("user", before + text + behind), ANSWER)
    fitted = fit(tiny, whole, max_tokens, cuttable=(len(before), len(before) + len(text)))

    ends = [len(text), *(at for at in range(len(text) - 1, 0, -1) if _may_start(text, at)), 0]
    fitting = [at for at in ends if count(text[:at]) <= max_tokens]
    if not fitting:
        assert fitted is None
        return
    assert fitted.messages[1].content == before + text[: fitting[0]] + behind
    assert fitted.num_cut_chars == len(text) - fitting[0]


def test_what_fits_is_left_as_it_is(tiny):
    messages = (Message("user", "the quick fox"), ANSWER)

    fitted = fit(tiny, messages, 128)

    assert fitted is not None
    assert (fitted.messages, fitted.num_cut_chars) == (messages, 0)


def test_only_the_longest_user_message_is_cut(tiny):
    messages = (Message("user", "short"), ANSWER, Message("user", "the fox " * 30), ANSWER)

    fitted = fit(tiny, messages, 50)

    assert fitted is not None
    assert [a == b for a, b in zip(fitted.messages, messages, strict=True)] == [
        True,
        True,
        False,
        True,
    ]
    assert fitted.num_tokens <= 50


def test_a_prompt_leaves_room_for_its_answer(tiny):
    messages = (Message("user", "the fox " * 30),)

    fitted = fit(tiny, messages, 50, room=20)

    assert fitted is not None
    ids = encode_prompt(fitted.messages, ChatTemplate.of(tiny), tiny)
    assert len(ids) == fitted.num_tokens == 30


@settings(max_examples=20, deadline=None)
@given(text=WORDS, answer=st.integers(1, 12), room=st.integers(1, 40))
def test_a_prompt_that_has_an_answer_leaves_room_for_another_where_it_is_asked(
    tiny, text, answer, room
):
    messages = (SYSTEM, Message("user", text), Message("assistant", "yes " * answer))

    fitted = fit(tiny, messages, 60, room=room)

    if fitted is None:
        return
    template = ChatTemplate.of(tiny)
    assert len(encode_prompt(fitted.messages[:-1], template, tiny)) + room <= 60
    assert len(encode_conversation(fitted.messages, template, tiny).ids) == fitted.num_tokens <= 60
    if fitted.num_cut_chars == 0:
        assert fitted.messages == messages


def test_an_answer_longer_than_the_context_gives_none(tiny):
    assert fit(tiny, (Message("user", "a"), Message("assistant", "yes " * 50)), 20) is None
    assert fit(tiny, (Message("system", "yes " * 50),), 20) is None


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("e\u0301a", {1}),
        ("👩\u200d👧x", {1, 2}),
        ("👍\U0001f3fdx", {1}),
        ("❤\ufe0fx", {1}),
        ("क\u093eb", {1}),
    ],
)
def test_a_cut_splits_no_visible_character(text, bad):
    assert {at for at in range(len(text)) if not _may_start(text, at)} == bad


def test_what_fits_says_which_answers_are_left_out_and_which_are_asked_otherwise():
    family = next(one for one in FAMILIES if one.name == "qwen3")
    tokenizer, template = open_family(family)

    def fitted(kind):
        reader = Reader("student", tokenizer, template, 1000)
        found = fit_to_context(CONVERSATIONS[kind], [reader])
        return found.num_left_out, found.has_empty_thought

    assert fitted("several answers with thoughts") == (1, False)
    assert fitted("several turns") == (0, True)
    assert fitted("answer with a thought") == (0, False)


@settings(max_examples=20, deadline=None)
@given(text=WORDS, first=st.integers(20, 60), second=st.integers(20, 60))
def test_a_conversation_is_cut_as_little_as_lets_every_reader_read_it(tiny, text, first, second):
    messages = (SYSTEM, Message("user", text), ANSWER)
    readers = [
        Reader("student", tiny, ChatTemplate.of(tiny), first),
        Reader(
            "teacher", tiny, PlainTemplate(tiny.eos_token, user="question: {content}\n"), second
        ),
    ]

    def fits(cut, reader):
        turns = (SYSTEM, Message("user", text[cut:]), ANSWER)
        encoded = encode_conversation(turns, reader.template, reader.tokenizer)
        return len(encoded.ids) <= reader.max_tokens

    together = fit_to_context(messages, readers)

    cuts = [at for at in range(len(text)) if _may_start(text, at)] + [len(text)]
    fitting = [at for at in cuts if all(fits(at, reader) for reader in readers)]
    if not fitting:
        lacking = [reader for reader in readers if not fits(len(text), reader)]
        assert together == Misfit(lacking[0])
        return
    assert together.num_cut_chars == fitting[0]
    assert together.cut_for == tuple(one.name for one in readers if not fits(0, one))


def test_a_template_that_refuses_is_told_once_with_whose_it_is(tiny):
    refusing = ChatTemplate("{{ raise_exception('no such roles') }}")
    readers = [
        Reader("student", tiny, ChatTemplate.of(tiny), 100),
        Reader("teacher", tiny, refusing, 100),
    ]

    with pytest.raises(InputError, match=r"as the teacher reads: .*no such roles") as error:
        fit_to_context((SYSTEM, Message("user", "the fox")), readers)

    assert str(error.value).count(error.value.hint) == 1
