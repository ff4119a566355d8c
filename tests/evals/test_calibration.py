"""Calibration: bins as in the paper, ranks as scikit-learn's, and an interval for every bin."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import brier_score_loss, roc_auc_score
from tests.evals.test_fields import values_of

from stillhouse.core.errors import InputError
from stillhouse.evals.calibration import BINS, score_confidence
from stillhouse.evals.ranks import pearson, spearman
from stillhouse.evals.reliability import reliability

# Halves, ties and the bins' own edges come up often.
SURE = st.one_of(st.sampled_from([0.0, 0.2, 0.5, 1.0, 1 / 3, 0.4]), st.floats(0, 1))
ANSWERS = st.lists(st.tuples(SURE, st.sampled_from([0.0, 1.0])), min_size=1, max_size=25)
few = settings(max_examples=40, deadline=None)


def naive_ece(pairs):
    edges = np.linspace(0, 1, BINS + 1)
    error = 0.0
    for place, (low, high) in enumerate(pairwise(edges)):
        inside = [
            (sure, right)
            for sure, right in pairs
            if low < sure <= high or (place == 0 and sure == 0.0)
        ]
        if inside:
            error += (
                len(inside) / len(pairs) * abs(np.mean([sure - right for sure, right in inside]))
            )
    return error


def naive_adaptive_ece(pairs):
    rows = sorted(pairs)
    gaps = {}
    for sure, right in rows:
        # the middle of all rows that are as sure, in twice their places
        first = sum(other < sure for other, _ in rows)
        middle = 2 * first + sum(other == sure for other, _ in rows)
        place = middle * BINS // (2 * len(rows))
        gaps[place] = gaps.get(place, 0.0) + right - sure
    return sum(abs(gap) for gap in gaps.values()) / len(rows)


@few
@given(ANSWERS)
def test_calibration_is_as_its_definitions_say(pairs):
    sure, right = (list(side) for side in zip(*pairs, strict=True))
    # when
    found = values_of(score_confidence(sure, right))
    # then
    assert found["ece"] == pytest.approx(naive_ece(pairs))
    assert found["adaptive_ece"] == pytest.approx(naive_adaptive_ece(pairs))
    assert found["brier"] == pytest.approx(brier_score_loss(right, sure))
    auroc = roc_auc_score(right, sure) if len(set(right)) == 2 else np.nan
    assert found["auroc_confidence"] == pytest.approx(auroc, nan_ok=True)


def test_confidence_that_is_all_the_same_tells_nothing():
    found = values_of(score_confidence([0.7] * 4, [1, 1, 0, 0]))
    assert found["auroc_confidence"] == 0.5
    assert found["ece"] == found["adaptive_ece"] == pytest.approx(0.2)


@pytest.mark.parametrize("sure", [1.2, -0.1, 95.0, float("nan")])
def test_a_confidence_that_is_no_probability_is_refused(sure):
    with pytest.raises(InputError, match="confidence of example 2"):
        score_confidence([0.5, sure], [1, 1])


def test_confidences_of_other_answers_are_refused():
    with pytest.raises(InputError, match="2 confidences for 1 answers"):
        score_confidence([0.5, 0.5], [1])


def test_a_reliability_diagram_has_every_answer_once_and_an_exact_interval():
    # given
    sure, right = np.array([0.0, 0.05, 0.2, 0.2, 0.95, 1.0]), np.array([0, 1, 1, 1, 1, 0.0])
    # when
    bins = reliability(sure, right, bins=5)
    # then: 0.2 is the first bin's upper edge and belongs to it
    first, last = bins
    assert (first.n, last.n) == (4, 2)
    assert (first.low, first.high) == (0.0, 0.2)
    assert (first.confidence, first.accuracy) == (pytest.approx(0.1125), 0.75)
    for one, count in ((first, 3), (last, 1)):
        exact = stats.binomtest(count, one.n).proportion_ci(0.95, method="exact")
        assert (one.accuracy_low, one.accuracy_high) == pytest.approx((exact.low, exact.high))


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_a_bin_that_is_all_right_or_all_wrong_still_has_an_interval(right):
    (only,) = reliability(np.full(3, 0.5), np.full(3, right))
    assert only.accuracy_high - only.accuracy_low == pytest.approx(1 - 0.025 ** (1 / 3))


@few
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=20))
def test_correlations_are_scipys(rows):
    columns, weights = np.array(rows, float) / 3.0 + 100.0, np.ones((1, len(rows)))
    for own, theirs in ((pearson, stats.pearsonr), (spearman, stats.spearmanr)):
        constant = any(len(set(side)) == 1 for side in zip(*rows, strict=True))
        expected = np.nan if constant else theirs(columns[:, 0], columns[:, 1]).statistic
        assert own(columns, weights)[0] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("num", [2, 3, 6, 7, 10])
def test_a_constant_has_no_correlation_though_its_mean_is_rounded(num):
    columns = np.stack([np.full(num, 0.1), np.arange(num)], axis=1)
    assert np.isnan(pearson(columns, np.ones((1, num)))).all()
