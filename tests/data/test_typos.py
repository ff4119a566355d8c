"""Misspellings are as many, of the kinds, and as repeatable as the recipe says."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.data.typos import _misspelt, misspell

TEXT = "The accountant records depreciation of $5,000 because machinery wears out over its life."


def kind_of(wrong, right):
    """Which single edit makes one word of the other; `several` where it takes more."""
    start = next(
        (i for i, (a, b) in enumerate(zip(wrong, right, strict=False)) if a != b),
        min(len(wrong), len(right)),
    )
    rest = min(len(wrong), len(right)) - start
    end = next((i for i in range(rest) if wrong[-1 - i] != right[-1 - i]), rest)
    new, old = wrong[start : len(wrong) - end], right[start : len(right) - end]
    beside = right[max(0, start - 1) : start] + right[start + len(old) :][:1]
    match (len(new), len(old)):
        case (2, 2) if new == old[::-1]:
            return "swapped"
        case (0, 1):
            return "undoubled" if old in beside else "left out"
        case (1, 0):
            return "doubled" if new in beside else "added"
        case (1, 1):
            return "vowel" if {new, old} <= set("aeiouy") else "other letter"
    return "several"


def test_kinds_of_error_are_as_frequent_as_in_real_misspellings(shared_file):
    lines = shared_file("typos/wikipedia_misspellings.txt").read_text(encoding="utf-8").split("\n")
    pairs = [line.split("->") for line in lines if "->" in line]
    pairs = [(wrong, right.split(",")[0]) for wrong, right in pairs]
    rng = Random(0)

    real = Counter(kind_of(wrong, right) for wrong, right in pairs)
    del real["several"]
    ours = Counter(kind_of(_misspelt(right, rng), right) for _, right in pairs if right.isalpha())

    assert set(ours) == set(real)
    for kind, count in real.items():
        assert ours[kind] / ours.total() == pytest.approx(count / real.total(), abs=0.05), kind


@pytest.mark.parametrize(("every", "wanted"), [(1, 8), (2, 6), (4, 3), (13, 1), (100, 0)])
def test_one_word_in_so_many_is_misspelt(every, wanted):
    before, after = TEXT.split(), misspell(TEXT, "row", every).split()

    assert len(after) == len(before)
    assert sum(a != b for a, b in zip(before, after, strict=True)) == wanted


def test_the_same_seed_gives_the_same_errors_and_another_others():
    assert misspell(TEXT, "row 1") == misspell(TEXT, "row 1") != misspell(TEXT, "row 2")


def test_short_words_numbers_and_first_letters_stay():
    for seed in range(50):
        after = misspell(TEXT, str(seed), 1).split()
        for old, new in zip(TEXT.split(), after, strict=True):
            assert old[0] == new[0]
            assert old == new or sum(map(str.isalpha, old)) >= 4


@given(st.text(max_size=60), st.integers(1, 6))
def test_no_text_is_too_strange(text, every):
    after = misspell(text, "seed", every)

    assert [c for c in after if c.isspace()] == [c for c in text if c.isspace()]
