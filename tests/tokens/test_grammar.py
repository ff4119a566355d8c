"""Whatever is drawn from what a grammar allows fits its schema."""

import numpy as np
import pytest
from tests.tokens.schemas import LONGEST, SCHEMA, outside_of_strings, problems

from stillhouse.core.errors import ModelError, RecipeError
from stillhouse.tokens.grammar import AnswerGrammar, compile_schema
from stillhouse.tokens.tokenizer import load_tokenizer

REAL = ("phi-2", "mistral-7b-v0.1")
TWO = {"enum": ["ab", "abc"]}


def write(grammar, tokenizer, random):
    """An answer drawn token by token from what is allowed, all alike; None when it has no end."""
    answers, ids = grammar.begin(1), []
    for _ in range(LONGEST):
        token = random.choice(np.flatnonzero(answers.allowed()[0]))
        if token in grammar.end_ids:
            return tokenizer.decode(ids)
        ids.append(int(token))
        answers.take(np.array([token]))
    return None


def allowed_after(grammar, tokenizer, text):
    answers = grammar.begin(1)
    for token in tokenizer.encode(text)[0]:
        answers.take(np.array([token]))
    return set(np.flatnonzero(answers.allowed()[0]).tolist())


def test_whatever_is_written_fits_the_schema(tiny):
    grammar, random = AnswerGrammar(SCHEMA, tiny, {tiny.eos_id}), np.random.default_rng(0)

    texts = [write(grammar, tiny, random) for _ in range(100)]

    assert [problems(text) for text in texts] == [[]] * 100
    assert len(set(texts)) == 100
    assert not any(set(outside_of_strings(text)) & set(" \n\t\r") for text in texts)


@pytest.mark.parametrize("name", REAL)
def test_tokenizers_of_real_models_write_what_fits(name, families):
    tokenizer = load_tokenizer(families / name)
    grammar, random = AnswerGrammar(SCHEMA, tokenizer, {tokenizer.eos_id}), np.random.default_rng(1)

    assert [problems(write(grammar, tokenizer, random)) for _ in range(10)] == [[]] * 10


def test_an_end_is_allowed_where_the_answer_is_whole_and_nowhere_else(tiny):
    user, end = (int(tiny.encode(text)[0][0]) for text in ("<|user|>", "<|end|>"))
    grammar = AnswerGrammar(TWO, tiny, {user, end})

    assert not allowed_after(grammar, tiny, '"ab') & {user, end}
    assert allowed_after(grammar, tiny, '"ab"') == {user, end}


def test_an_end_that_is_also_text_is_no_text_any_more(tiny):
    letter = int(tiny.encode("b")[0][0])
    grammar = AnswerGrammar({"type": "string", "maxLength": 5}, tiny, {letter})

    assert letter not in allowed_after(grammar, tiny, '"')
    assert letter in allowed_after(grammar, tiny, '""')


def test_special_tokens_are_no_text(tiny):
    grammar = AnswerGrammar({"type": "string", "maxLength": 9}, tiny, {tiny.eos_id})

    allowed = allowed_after(grammar, tiny, '"a')

    assert len(allowed) > 200
    assert not allowed & tiny.special_ids


def test_what_follows_an_end_is_not_looked_at(tiny):
    grammar = AnswerGrammar(TWO, tiny, {tiny.eos_id})
    first = int(tiny.encode('"')[0][0])
    answers = grammar.begin(2)
    for one in (tiny.eos_id, tiny.pad_id, tiny.pad_id):
        answers.take(np.array([one, first]))
        first = int(tiny.encode("a")[0][0])
        allowed = answers.allowed()

        assert allowed[0].all()
        assert not allowed[1].all()


def test_where_the_library_gives_up_an_end_alone_is_allowed(tiny):
    answers = AnswerGrammar(TWO, tiny, {tiny.eos_id, tiny.pad_id}).begin(2)
    quote, letter = (int(tiny.encode(text)[0][0]) for text in ('"', "x"))

    answers.take(np.array([letter, quote]))

    lost, found = answers.allowed()
    assert set(np.flatnonzero(lost)) == {tiny.eos_id, tiny.pad_id}
    assert not found[[tiny.eos_id, tiny.pad_id]].any()


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "(?=a)b"},
        {"type": "array", "uniqueItems": True},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "string", "format": "colour"},
    ],
)
def test_a_schema_that_no_model_can_be_held_to_is_refused_by_name(schema, tiny):
    with pytest.raises(RecipeError, match=r"label\.answer_schema: no model can be held to it: \w"):
        AnswerGrammar(schema, tiny, {tiny.eos_id})


def test_white_space_that_a_schema_asks_for_is_not_given(tiny):
    loose = TWO | {"x-guidance": {"whitespace_flexible": True, "lenient": True}}

    assert allowed_after(AnswerGrammar(loose, tiny, {tiny.eos_id}), tiny, '"ab"') == {tiny.eos_id}
    with pytest.raises(RecipeError, match="uniqueItems"):
        compile_schema(loose | {"type": "array", "uniqueItems": True})


def test_a_tokenizer_that_cannot_write_json_is_refused(families):
    tokenizer = load_tokenizer(families / "t5-small")

    with pytest.raises(ModelError, match="no token with which an answer could begin"):
        AnswerGrammar(SCHEMA, tokenizer, {tokenizer.eos_id})


def test_answers_without_an_end_are_refused(tiny):
    with pytest.raises(ModelError, match=r"label\.answer_schema: neither model, tokenizer nor"):
        AnswerGrammar(TWO, tiny, ())
