"""Rows that mean the same are merged into one that lies near each of them."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.core.rows import Keep, Merge, Row
from stillhouse.data import semantic
from stillhouse.data.account import run_step
from stillhouse.data.semantic import MergeSemanticStep, find_same
from stillhouse.data.tfidf import tfidf
from stillhouse.recipes.meaning_steps import MergeSemanticDuplicates


def rows_of(texts, field="question"):
    return [Row(f"{place:04}", {field: text}, f"a:{place}") for place, text in enumerate(texts)]


def step(threshold=0.8, vectors=tfidf):
    return MergeSemanticStep(MergeSemanticDuplicates(by="tfidf", threshold=threshold), vectors)


def unit(rng, number, size=5):
    vectors = rng.standard_normal((number, size)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.floats(0.3, 1.0))
def test_blocks_find_what_one_after_the_other_finds(seed, number, threshold):
    vectors = unit(np.random.default_rng(seed), number)
    kept, naive = [], {}
    for one in range(number):
        cosines = {other: float(vectors[one] @ vectors[other]) for other in kept}
        best = max(cosines, key=cosines.get, default=None)
        if best is not None and cosines[best] >= threshold:
            naive[one] = best
        else:
            kept.append(one)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(semantic, "_BLOCK", 7)
        found = find_same(vectors, np.arange(number), threshold)

    assert {one: into for one, into, _ in found} == naive
    assert all(cosine >= threshold - 1e-5 for _, _, cosine in found)


def test_a_merged_row_is_near_the_one_that_stands_for_it_and_no_chain_is_followed():
    angles = np.deg2rad([0, 20, 40, 60])
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)

    found = find_same(vectors, np.arange(4), float(np.cos(np.deg2rad(25))))

    assert [(one, into) for one, into, _ in found] == [(1, 0), (3, 2)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 5% of $1,000 in the books?", "What is 6% of $1,000 in the books?"),
        ("Is goodwill an asset of the firm?", "Is goodwill not an asset of the firm?"),
    ],
)
def test_other_numbers_or_a_denial_are_never_merged(one, other):
    kept, ended, _ = run_step(step(0.1), rows_of([one, other]))

    assert (len(kept), ended) == (2, [])


def test_rows_are_merged_with_their_cosine_whatever_their_order():
    texts = ["What is a debt?", "what is a debt", "Who sings?", None, " ", "What's a debt??"]
    rows = rows_of(texts)
    shuffled = Random(3).sample(rows, len(rows))

    kept, ended, count = run_step(step(), rows)
    _, again, _ = run_step(step(), shuffled)

    assert [row.row_id for row in kept] == ["0000", "0002", "0003", "0004", "0005"]
    assert ended == [Merge(rows[1], "0000", "cosine 1.000 of tfidf vectors")]
    assert (again, count.merged, count.balances) == (ended, 1, True)


def test_parts_give_what_the_whole_gives():
    rows = rows_of([f"what is the price of {word}" for word in ("a cow", "a cow?", "the moon")])
    one = step()

    assert one.decide([one.look(rows[:1]), one.look([]), one.look(rows[1:])]) == one.decide(
        [one.look(rows)]
    )


@pytest.mark.parametrize("texts", [["alone"], ["!!", "??"], [], ["same"] * 5])
def test_one_row_no_words_no_rows_and_all_equal(texts):
    kept, ended, _ = run_step(step(1.0), rows_of(texts))

    assert len(kept) == len(set(texts))
    assert all(one.into == "0000" for one in ended)
    assert all(isinstance(one, Keep | Merge) for one in step(1.0).process(rows_of(texts)))
