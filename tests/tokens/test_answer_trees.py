"""Answers as a tree: nothing is lost of any, and what they share stands once."""

import numpy as np
import pytest

from stillhouse.core.rows import Message
from stillhouse.tokens.answer_trees import grow_tree
from stillhouse.tokens.encode import encode_conversation

CLASSES = ("RECOMMENDED", "RECOMMENDED WITH CAUTION", "NOT RECOMMENDED", "NOT", "no")


def encode(tiny, plain, classes=CLASSES, prompt="which song is the saddest"):
    return [
        encode_conversation((Message("user", prompt), Message("assistant", name)), plain, tiny)
        for name in classes
    ]


def ancestors(tree, place):
    """Those that a token may look at, itself among them."""
    return [j for j in range(place + 1) if place < tree.ends[j]]


@pytest.fixture(scope="module")
def conversations(tiny, plain):
    return encode(tiny, plain)


def test_each_answer_is_read_off_the_tree_token_by_token(conversations):
    tree = grow_tree(conversations)

    for number, one in enumerate(conversations):
        answer = one.last_answer
        tokens = tree.tokens_of(number)
        np.testing.assert_array_equal(tree.scored[tokens], one.ids[answer])
        for token, position in zip(tokens, range(answer.start, answer.stop), strict=True):
            way = ancestors(tree, tree.predictors[token])
            np.testing.assert_array_equal(tree.ids[way], one.ids[:position])
            np.testing.assert_array_equal(tree.depths[way], np.arange(position))


def test_what_answers_share_stands_once(conversations):
    tree = grow_tree(conversations)

    beginnings = {
        tuple(one.ids[:length]) for one in conversations for length in range(1, len(one.ids))
    }
    assert len(tree.ids) == len(beginnings)
    assert len(tree.ids) < sum(len(one.ids) for one in conversations) / 2


def test_the_tokens_that_one_state_predicts_stand_together(conversations):
    tree = grow_tree(conversations)

    assert np.all(np.diff(tree.predictors) >= 0)
    assert len(set(zip(tree.predictors, tree.scored, strict=True))) == len(tree.scored)


def test_an_answer_that_begins_another_ends_elsewhere(tiny, plain):
    tree = grow_tree(encode(tiny, plain, ("RECOMMENDED", "RECOMMENDED WITH CAUTION")))

    short, long = tree.tokens_of(0), tree.tokens_of(1)
    assert np.array_equal(short[:-1], long[: len(short) - 1])
    assert short[-1] not in long


def test_one_answer_is_a_tree_without_branches(tiny, plain):
    (one,) = encode(tiny, plain, ("yes",))

    tree = grow_tree([one])

    np.testing.assert_array_equal(tree.ids, one.ids[:-1])
    np.testing.assert_array_equal(tree.ends, len(one.ids) - 1)
    assert tree.num_answers == 1


def test_prompts_that_differ_share_what_they_begin_with(tiny, plain):
    both = [
        *encode(tiny, plain, ("yes", "no"), "which song is sad"),
        *encode(tiny, plain, ("yes",), "which song is the saddest"),
    ]

    tree = grow_tree(both)

    for number, one in enumerate(both):
        np.testing.assert_array_equal(tree.scored[tree.tokens_of(number)], one.ids[one.last_answer])
