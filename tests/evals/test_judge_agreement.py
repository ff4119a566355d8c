"""Agreement with people equals that of scikit-learn and scipy, on every resample."""

import csv
import math
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score
from tests.conftest import SHARED_DATA

from stillhouse.core.errors import InputError
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.judge_agreement import kappa, rank_correlation

QUICK = Resampling(draws=100)
SCORES = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=30).filter(
    lambda pairs: all(len(set(side)) > 1 for side in zip(*pairs, strict=True))
)


@given(SCORES)
@settings(max_examples=30, deadline=None)
def test_kappa_and_rank_correlation_are_those_of_the_libraries(pairs):
    judge, people = zip(*pairs, strict=True)
    assert kappa(judge, people, QUICK).value == pytest.approx(cohen_kappa_score(judge, people))
    assert kappa(judge, people, QUICK, "quadratic").value == pytest.approx(
        cohen_kappa_score(judge, people, weights="quadratic", labels=[1, 2, 3, 4, 5])
    )
    assert rank_correlation(judge, people, QUICK).value == pytest.approx(
        spearmanr(judge, people).statistic
    )


def test_scores_with_a_gap_are_as_far_apart_as_their_values():
    # given scores 1, 2 and 5: the miss of one is smaller than that of three
    people = [1, 2, 5, 1, 2, 5]
    near = kappa([2, 2, 5, 1, 2, 5], people, QUICK, "quadratic").value
    far = kappa([1, 2, 2, 1, 2, 5], people, QUICK, "quadratic").value
    assert near > far


def test_scores_to_a_hundred_fit_the_memory():
    people = list(range(101)) * 3
    judge = [min(100, score + 1) for score in people]
    # A table of all pairs would take 10201 columns, and an identity of 800 MB to be made from.
    tracemalloc.start()
    found = kappa(judge, people, QUICK, "quadratic")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.value == pytest.approx(cohen_kappa_score(judge, people, weights="quadratic"))
    assert 0.99 < found.low < found.value < found.high
    assert peak < 50e6


def test_a_judge_of_one_word_agrees_by_chance_alone():
    assert kappa([1, 1, 1, 1], [1, 2, 1, 2], QUICK).value == 0.0
    assert math.isnan(kappa([1, 1], [1, 1], QUICK).value)
    assert math.isnan(rank_correlation([3, 3, 3], [1, 2, 3], QUICK).value)


def test_unequal_counts_are_refused():
    with pytest.raises(InputError, match="2 judgements and people's 3"):
        kappa([1, 2], [1, 2, 3], QUICK)
    with pytest.raises(InputError, match="at least two"):
        rank_correlation([1], [1], QUICK)


def test_two_people_who_rated_real_talk_agree_more_than_by_chance():
    # given the ratings, 1 to -3, of the first two annotators
    path = SHARED_DATA / "labels" / "convabuse_valid.csv"
    if not path.is_file():
        pytest.skip("no shared test data here")
    with path.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    grades = (1, 0, -1, -2, -3)

    def rating(row, who):
        given = [g for g in grades if row[f"Annotator{who}_is_abuse.{g}"] in ("1", "1.0")]
        return given[0] if given else None

    pairs = [(rating(row, 1), rating(row, 2)) for row in rows]
    judge, people = zip(*[pair for pair in pairs if None not in pair], strict=True)
    # when
    found = kappa(judge, people, QUICK, "quadratic")
    # then
    assert len(judge) > 30
    assert found.low > 0.2
