"""Shared runs are those that comparing every pair of places finds."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.core.errors import UsageError
from stillhouse.data.overlap import Run, SharedRuns

TEXTS = st.lists(st.text("abc", max_size=12), max_size=5)


def naive_longest(others, units, length):
    best = 0
    for other in others:
        for start in range(len(units)):
            for place in range(len(other)):
                run = 0
                while (
                    start + run < len(units)
                    and place + run < len(other)
                    and units[start + run] == other[place + run]
                ):
                    run += 1
                best = max(best, run)
    return best if best >= length else 0


@given(TEXTS, st.text("abcd", max_size=12), st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_the_longest_run_is_that_of_the_naive_search(others, text, length):
    found = SharedRuns(others, length).longest(text)
    assert found.length == naive_longest(others, text, length)
    if found.length:
        shared = text[found.start : found.start + found.length]
        assert shared in others[found.source]


def test_a_run_never_crosses_from_one_text_into_the_next():
    assert SharedRuns(["abc", "def"], 2).longest("bcde") == Run(2, 0, 0)
    assert SharedRuns(["a", "", "b"], 1).longest("ab") == Run(1, 0, 0)
    assert SharedRuns(["abc", "def"], 4).longest("abcdef") == Run()


def test_a_run_tells_where_it_is_and_whose_it_is():
    words = ["one", "two", "three", "four", "five", "six"]
    others = [["zero"], words, words]
    assert SharedRuns(others, 3).longest(["x", *words[1:5], "y"]) == Run(4, 1, 1)


def test_nothing_is_shared_with_nothing_and_a_run_of_no_units_is_refused():
    assert SharedRuns([], 3).longest("abcdef") == Run()
    assert SharedRuns(["", "ab"], 3).longest("") == Run()
    with pytest.raises(UsageError, match="0 units"):
        SharedRuns(["abc"], 0)


@pytest.mark.long
def test_a_large_corpus_with_a_template_is_searched_in_seconds():
    # given 100,000 texts of 60 words, each opened by the same 20
    draw = np.random.default_rng(0)
    opening = list(range(20))
    others = [opening + ids for ids in draw.integers(20, 30_000, (100_000, 40)).tolist()]
    # when
    start = time.perf_counter()
    runs = SharedRuns(others, 13)
    built_s, start = time.perf_counter() - start, time.perf_counter()
    found = [runs.longest(others[number][-30:]) for number in range(500)]
    asked_s, start = time.perf_counter() - start, time.perf_counter()
    opened = runs.longest(opening)
    opened_s = time.perf_counter() - start
    # then
    print(f"built {built_s:.1f} s, 500 asked {asked_s:.2f} s, template {opened_s:.2f} s")
    assert all(one.length == 30 for one in found)
    assert opened.length == 20
    assert built_s + asked_s + opened_s < 90
