"""P values are those of statsmodels and of counting all cases."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.multitest import multipletests

from stillhouse.evals.bootstrap import Resampling, of_sums, ratio
from stillhouse.evals.significance import benjamini_hochberg, holm, mcnemar, swap_test


def means_of(values):
    return np.stack([np.asarray(values, float), np.ones(len(values))], axis=1)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 1), (3, 3), (1, 9), (25, 40), (0, 12)])
def test_mcnemar_is_that_of_statsmodels_and_mid_p_counts_half_of_what_was_seen(first, second):
    found = mcnemar(first, second)
    theirs = their_mcnemar([[5, first], [second, 5]], exact=True).pvalue if first + second else 1.0
    assert found.exact == pytest.approx(theirs)
    if first != second:
        weights = np.array([1.0])
        for _ in range(first + second):
            weights = np.convolve(weights, [0.5, 0.5])
        least = min(first, second)
        assert found.mid_p == pytest.approx(2 * weights[:least].sum() + weights[least])
    else:
        assert found.mid_p == pytest.approx(1.0)


def naive_sign_flips(first, second):
    """The share of all sign patterns whose mean difference is as large as the one seen."""
    differences = np.asarray(first) - np.asarray(second)
    patterns = itertools.product([1, -1], repeat=len(differences))
    flips = [abs(float(np.dot(signs, differences))) for signs in patterns]
    return np.mean([flip >= flips[0] - 1e-9 for flip in flips])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=1, max_size=8))
def test_swaps_of_a_mean_are_the_sign_flip_test(pairs):
    first, second = zip(*pairs, strict=True)
    found = swap_test(means_of(first), means_of(second), of_sums(ratio), Resampling(swaps=256))
    assert found == pytest.approx(naive_sign_flips(first, second))


def test_random_swaps_come_near_all_swaps_and_are_never_nothing():
    generator = np.random.default_rng(0)
    first = generator.normal(0.4, 1, 14)
    second = generator.normal(0, 1, 14)
    columns = means_of(first), means_of(second)
    whole = swap_test(*columns, of_sums(ratio), Resampling(swaps=2**14))
    drawn = swap_test(*columns, of_sums(ratio), Resampling(swaps=8000))
    assert drawn == pytest.approx(whole, abs=0.02)
    apart = means_of(first + 100), means_of(second)
    assert swap_test(*apart, of_sums(ratio), Resampling(swaps=99)) == pytest.approx(0.01)


def test_swaps_refuse_equality_no_more_often_than_the_level():
    refused = 0
    for seed in range(300):
        both = np.random.default_rng(seed).exponential(1, (2, 12))
        columns = means_of(both[0]), means_of(both[1])
        refused += swap_test(*columns, of_sums(ratio), Resampling(seed=seed, swaps=199)) <= 0.05
    assert refused / 300 <= 0.08


def test_a_difference_that_is_not_defined_has_no_p_value():
    nothing = np.zeros((3, 2))
    assert np.isnan(swap_test(nothing, nothing, of_sums(ratio), Resampling()))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_corrections_are_those_of_statsmodels(p_values):
    for ours, name in ((holm, "holm"), (benjamini_hochberg, "fdr_bh")):
        assert ours(p_values) == pytest.approx(multipletests(p_values, method=name)[1].tolist())


def test_a_clear_difference_stays_clear_among_thirty_questions():
    # given one difference as clear as can be, and 29 questions without any
    generator = np.random.default_rng(0)
    first, second = means_of(generator.normal(9, 1, 60)), means_of(generator.normal(0, 1, 60))
    clear = swap_test(first, second, of_sums(ratio), Resampling(draws=1000))
    # when
    found = holm([clear, *[1.0] * 29])
    # then
    assert found[0] < 0.005


def test_what_was_not_asked_costs_the_others_nothing():
    nan = float("nan")
    for correct in (holm, benjamini_hochberg):
        found = correct([0.01, nan, 0.04])
        assert np.isnan(found[1])
        assert [found[0], found[2]] == correct([0.01, 0.04])
