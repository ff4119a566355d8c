"""Copied passages are found word for word, near copies letter by letter."""

import time

import numpy as np
import pytest

from stillhouse.core.errors import UsageError
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.estimates import estimate_metric
from stillhouse.evals.memorised import METRICS, RUN_WORDS, find_copied
from stillhouse.evals.scores import Scores

PASSAGE = "the quick brown fox jumps over the lazy dog and runs into the wood"


def test_a_run_of_thirteen_words_counts_and_one_of_twelve_does_not():
    # given
    words = PASSAGE.split()
    assert len(words) == RUN_WORDS + 1
    texts = [
        "She said: The QUICK brown fox jumps over the lazy dog, and runs into the night",
        f"{' '.join(words[: RUN_WORDS - 1])} at dawn with no thought of any hunter",
        "too short",
    ]
    # when
    found = find_copied(texts, ["something else", f"Once {PASSAGE}. The end."])
    # then
    assert found.columns["memorised"].tolist() == [1, 0, 0]
    assert found.columns["memorised_asked"].tolist() == [1, 1, 0]
    assert found.columns["longest_run"].tolist() == [13, 0, 0]
    (copied,) = found.examples
    assert (copied.text, copied.source, copied.num_words) == (0, 1, 13)
    assert copied.passage == "the quick brown fox jumps over the lazy dog and runs into the"


def test_the_rate_is_among_texts_long_enough_to_share_a_run():
    columns = find_copied([PASSAGE, "short", "brief"], [PASSAGE]).columns
    scores = Scores(("a", "b", "c"), columns)
    rate, near = (estimate_metric(metric, scores, Resampling(draws=100)) for metric in METRICS)
    assert (rate.value, rate.n) == (1.0, 1)
    assert near.value == pytest.approx(1 / 3)


def test_a_near_copy_without_a_long_run_is_found_with_its_source():
    text = "a river runs slowly under an old bridge of stone"
    almost = "A river runs slowly under the old bridge of stones!"
    found = find_copied([almost, "nothing of the kind"], ["another text", text])
    assert found.columns["near_copy"].tolist() == [1, 0]
    (copied,) = found.examples
    assert (copied.source, copied.num_words) == (1, 0)
    assert 0.9 <= copied.likeness < 1.0


def test_chinese_is_compared_character_by_character():
    poem = "床前明月光疑是地上霜举头望明月低头思故乡"
    found = find_copied([f"他说：{poem[:14]}。"], [poem])
    assert found.columns["longest_run"].tolist() == [14]


@pytest.mark.parametrize(("texts", "sources"), [([], ["a"]), (["a"], []), ([""], [""])])
def test_nothing_is_copied_from_nothing(texts, sources):
    found = find_copied(texts, sources)
    assert found.examples == ()
    assert len(found.columns["memorised"]) == len(texts)


def test_a_likeness_out_of_range_is_refused():
    with pytest.raises(UsageError, match="near_copy is 0"):
        find_copied(["a"], ["a"], near_copy=0.0)


@pytest.mark.long
def test_a_thousand_answers_are_held_against_many_training_answers_in_time():
    # given
    draw = np.random.default_rng(0)
    vocabulary = np.array([f"word{number}" for number in range(5000)])
    sources = [" ".join(row) for row in vocabulary[draw.integers(0, 5000, (20_000, 30))]]
    texts = [sources[number] if number % 10 == 0 else f"{number} new" for number in range(1000)]
    # when
    start = time.perf_counter()
    found = find_copied(texts, sources)
    spent_s = time.perf_counter() - start
    # then
    print(f"{spent_s:.1f} s")
    assert found.columns["memorised"].sum() == found.columns["near_copy"].sum() == 100
    assert spent_s < 120
