"""A candidate against several people's votes: distances are scipy's."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon
from tests.conftest import SHARED_DATA
from tests.evals.test_fields import values_of

from stillhouse.core.errors import InputError
from stillhouse.evals.votes import SMOOTHING, score_votes

VOTES = st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(any)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(VOTES, VOTES), min_size=1, max_size=8))
def test_distances_to_the_votes_are_scipys(rows):
    # given votes, and a candidate whose probabilities may be 0
    votes = np.array([own for own, _ in rows], float)
    shares = votes / votes.sum(1, keepdims=True)
    probs = np.array([np.array(own) / sum(own) for _, own in rows])
    # when
    columns = score_votes(votes, probs)
    # then
    smooth = (1 - SMOOTHING) * probs + SMOOTHING / 3
    for row in range(len(rows)):
        assert columns["kl_votes"][row] == pytest.approx(stats.entropy(shares[row], smooth[row]))
        distance = jensenshannon(shares[row], probs[row])
        assert columns["jsd_votes"][row] == pytest.approx(distance**2, abs=1e-12)
        assert columns["vote_entropy"][row] == pytest.approx(stats.entropy(shares[row]))
        assert columns["model_entropy"][row] == pytest.approx(stats.entropy(probs[row]))


def test_a_candidate_that_is_the_votes_is_perfect():
    # given votes that are one-sided, tied and spread
    votes = np.array([[9, 0, 0], [4, 4, 1], [3, 3, 3], [8, 1, 0]])
    # when
    found = values_of(score_votes(votes, votes / 9))
    # then
    assert found["jsd_to_votes"] == found["brier_to_votes"] == 0.0
    assert found["kl_to_votes"] < SMOOTHING
    assert found["majority_accuracy"] == 1.0
    assert found["entropy_correlation"] == pytest.approx(1.0)
    assert found["entropy_correlation_linear"] == pytest.approx(1.0)
    assert found["ece_to_votes"] == pytest.approx(0.0)


def test_a_candidate_that_is_sure_of_the_wrong_class_is_far_but_not_infinitely():
    found = values_of(score_votes([[0, 5]], [[1.0, 0.0]]))
    assert found["kl_to_votes"] == pytest.approx(np.log(2 / SMOOTHING))
    assert found["jsd_to_votes"] == pytest.approx(np.log(2))
    assert found["majority_accuracy"] == 0.0
    assert found["brier_to_votes"] == 2.0
    assert found["ece_to_votes"] == 1.0
    assert np.isnan(found["entropy_correlation"])


@pytest.mark.parametrize(
    ("votes", "probs", "reason"),
    [
        ([[0, 0]], [[0.5, 0.5]], "the votes of example 1"),
        ([[1, -1]], [[0.5, 0.5]], "the votes of example 1"),
        ([[1, 1]], [[0.9, 0.5]], "the probabilities of example 1"),
        ([[1, 1]], [[np.nan, 1.0]], "the probabilities of example 1"),
        ([[1, 1, 1]], [[0.5, 0.5]], "one column a class"),
    ],
)
def test_what_is_no_distribution_is_refused(votes, probs, reason):
    with pytest.raises(InputError, match=reason):
        score_votes(votes, probs)


def test_people_are_nearer_to_people_than_one_answer_or_no_opinion_is():
    # given nine votes on each of real sentence pairs, and a tenth candidate made of half of them
    path = SHARED_DATA / "labels" / "ambient_crowd9_even.jsonl"
    if not path.is_file():
        pytest.skip("no shared test data here: ambient_crowd9_even.jsonl")
    names = ("entailment", "neutral", "contradiction")
    voters = [json.loads(line)["q0_gold"] for line in path.read_text("utf-8").splitlines()]
    others, half = (
        np.array([[own[part].count(name) for name in names] for own in voters], float)
        for part in (slice(0, None, 2), slice(1, None, 2))
    )
    majority = (half == half.max(1, keepdims=True)) / (half == half.max(1, keepdims=True)).sum(
        1, keepdims=True
    )
    # when
    people, one, none = (
        values_of(score_votes(others, probs))
        for probs in (half / 4, majority, np.full_like(half, 1 / 3))
    )
    # then
    assert people["jsd_to_votes"] < one["jsd_to_votes"] < none["jsd_to_votes"]
    assert people["entropy_correlation"] > 0.3
    assert np.isnan(none["entropy_correlation"])
