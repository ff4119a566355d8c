"""Intervals of fractions are the published ones, and have a width where all answers agree."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from stillhouse.evals.proportions import (
    Pairs,
    difference_interval,
    exact_interval,
    examples_to_decide,
    ratio_interval,
)

AIRWAYS = Pairs(1, 1, 7, 12)  # Fagerland, Lydersen & Laake 2014: children before and after


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (3, 4), (0, 200), (189, 200), (7, 1000)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_exact_interval_is_that_of_scipy(right, n, confidence):
    theirs = stats.binomtest(right, n).proportion_ci(confidence, method="exact")
    assert exact_interval(right, n, confidence) == pytest.approx((theirs.low, theirs.high))


def test_nine_in_ten_is_shown_by_189_of_200_and_not_by_188():
    assert exact_interval(189, 200, 0.95)[0] > 0.9 > exact_interval(188, 200, 0.95)[0]


def test_paired_intervals_are_those_of_the_textbook():
    # Fagerland, Lydersen & Laake 2014, Statistics in Medicine 33, tables of their first example
    assert difference_interval(AIRWAYS, 0.95) == pytest.approx((-0.517, -0.026), abs=5e-4)
    assert ratio_interval(AIRWAYS, 0.95) == pytest.approx((0.065, 0.907), abs=5e-4)


def naive_score(pairs, value, relation):
    """The squared score statistic, with the likelihood maximised numerically under the value."""
    n, both, first, second = pairs.n, pairs.both, pairs.first, pairs.second

    def cells(p):
        # p: the share that both have right, and the share that the second alone has right
        p11, p01 = p
        p10 = p01 + value if relation == "difference" else value * (p11 + p01) - p11
        return np.array([p11, p10, p01, 1 - p11 - p10 - p01])

    def loss(p):
        found = cells(p)
        counts = np.array([both, first, second, pairs.neither])
        if np.any(found < 0):
            return 1e9
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.where(counts > 0, counts * np.log(np.maximum(found, 1e-300)), 0.0)
        return -float(logs.sum())

    starts = [(a, b) for a in np.linspace(0.01, 0.9, 12) for b in np.linspace(0.01, 0.9, 12)]
    best = min(starts, key=loss)
    fine = {"xatol": 1e-10, "fatol": 1e-12, "maxiter": 4000}
    p = optimize.minimize(loss, best, method="Nelder-Mead", options=fine).x
    p11, p10, p01, _ = cells(p)
    if relation == "difference":
        return (first - second - n * value) ** 2 / (n * (p10 + p01 - value**2))
    right, other = both + first, both + second
    variance = n * ((p11 + p10) + value**2 * (p11 + p01) - 2 * value * p11)
    return (right - value * other) ** 2 / variance


@pytest.mark.parametrize("pairs", [AIRWAYS, Pairs(36, 12, 2, 5), Pairs(5, 3, 3, 9)])
@pytest.mark.parametrize("relation", ["difference", "ratio"])
def test_the_bounds_are_where_the_score_statistic_is_the_normal_quantile(pairs, relation):
    interval = difference_interval if relation == "difference" else ratio_interval
    for bound in interval(pairs, 0.95):
        assert naive_score(pairs, bound, relation) == pytest.approx(1.959964**2, rel=1e-3)


@pytest.mark.parametrize("n", [1, 2, 20, 500])
def test_candidates_that_always_agree_have_a_width_that_falls_with_n(n):
    low, high = difference_interval(Pairs(n, 0, 0, 0), 0.95)
    assert -1 < low < 0 < high < 1
    assert high == pytest.approx(1.96**2 / (n + 1.96**2), rel=1e-3)
    low, high = ratio_interval(Pairs(n, 0, 0, 0), 0.95)
    assert low < 1 < high
    assert low == pytest.approx(1 / high)


def test_a_ratio_to_nothing_has_no_upper_bound_and_nothing_to_nothing_no_bound():
    low, high = ratio_interval(Pairs(0, 3, 0, 5), 0.95)
    assert 0.5 < low < 1
    assert high == math.inf
    assert ratio_interval(Pairs(0, 0, 3, 5), 0.95)[0] == 0.0
    assert ratio_interval(Pairs(0, 0, 0, 9), 0.95) == (0.0, math.inf)


counts = st.integers(0, 40)


@settings(max_examples=30, deadline=None)
@given(counts, counts, counts, st.integers(1, 40))
def test_exchanging_the_candidates_turns_the_interval_round(both, first, second, neither):
    one, two = Pairs(both, first, second, neither), Pairs(both, second, first, neither)
    low, high = difference_interval(one, 0.95)
    assert difference_interval(two, 0.95) == pytest.approx((-high, -low), abs=1e-9)
    low, high = ratio_interval(one, 0.95)
    inverse = [1 / bound if bound else math.inf for bound in (high, low)]
    assert ratio_interval(two, 0.95) == pytest.approx(inverse, rel=1e-6, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(counts, counts, counts, st.integers(1, 40))
def test_an_example_more_that_the_first_has_right_moves_no_bound_down(both, first, second, neither):
    before = Pairs(both, first, second, neither)
    after = Pairs(both, first + 1, second, neither - 1)
    for interval in (difference_interval, ratio_interval):
        for old, new in zip(interval(before, 0.95), interval(after, 0.95), strict=True):
            assert new >= old - 1e-9


def test_examples_to_decide_is_the_first_number_that_does():
    def decides(n):
        return exact_interval(0.93 * n, n, 0.95)[0] > 0.9

    naive = next(n for n in range(201, 1000) if decides(n))
    assert examples_to_decide(200, decides) == naive == 391
    assert examples_to_decide(5, lambda n: False) == 0
    assert examples_to_decide(5, lambda n: n >= 6) == 6
