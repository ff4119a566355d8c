"""The entropy of counts is that of the textbook, and its corrections come nearer to the truth."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stillhouse.core.errors import UsageError
from stillhouse.evals.entropy import entropy

COUNTS = st.lists(st.integers(0, 50), min_size=1, max_size=30).filter(any)


@given(COUNTS)
@settings(max_examples=30)
def test_the_plain_entropy_is_scipys(counts):
    shares = np.array(counts) / sum(counts)
    assert entropy(counts, "plain") == pytest.approx(stats.entropy(shares), abs=1e-12)


@given(COUNTS)
@settings(max_examples=30)
def test_miller_madow_adds_a_half_for_each_kind_but_one(counts):
    kinds = sum(count > 0 for count in counts)
    expected = entropy(counts, "plain") + (kinds - 1) / (2 * sum(counts))
    assert entropy(counts) == pytest.approx(expected)


@given(COUNTS)
@settings(max_examples=30)
def test_grassberger_is_the_sum_of_the_paper(counts):
    # given G by the paper's recursion: G(1) = G(2) - 2, G(n) of odd n is that of n - 1
    def g(n):
        if n == 1:
            return -np.euler_gamma - math.log(2)
        even = n - n % 2
        return 2 - np.euler_gamma - math.log(2) + sum(2 / (2 * k + 1) for k in range(1, even // 2))

    total = sum(counts)
    expected = math.log(total) - sum(n * g(n) for n in counts if n) / total
    assert entropy(counts, "grassberger") == pytest.approx(expected)


@given(COUNTS)
@settings(max_examples=30)
def test_chao_shen_is_the_sum_of_the_paper(counts):
    total, once = sum(counts), counts.count(1)
    covered = 1 - min(once, total - 1) / total
    expected = 0.0
    for share in (covered * count / total for count in counts if count):
        if share:
            expected -= share * math.log(share) / (1 - (1 - share) ** total)
    assert entropy(counts, "chao_shen") == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kinds", [2, 5, 100])
def test_a_uniform_distribution_has_the_log_of_its_kinds_and_a_constant_has_none(kinds):
    many = [10_000] * kinds
    for correction in ("plain", "miller_madow", "grassberger", "chao_shen"):
        assert entropy(many, correction) == pytest.approx(math.log(kinds), abs=1e-4)
    for correction in ("plain", "miller_madow", "chao_shen"):
        assert entropy([7], correction) == 0.0
        assert entropy([0, 1, 0], correction) == 0.0


def test_on_few_counts_of_many_kinds_each_correction_is_nearer_to_the_truth():
    # given 200 draws of 500 kinds, many times
    shares = 1 / np.arange(1, 501)
    shares /= shares.sum()
    truth = float(stats.entropy(shares))
    draws = np.random.default_rng(0).multinomial(200, shares, size=40)
    # when
    off = {
        name: abs(np.mean([entropy(one, name) for one in draws]) - truth)
        for name in ("plain", "miller_madow", "grassberger", "chao_shen")
    }
    # then
    assert off["plain"] > 0.5
    assert off["miller_madow"] < 0.75 * off["plain"]
    assert off["grassberger"] < 0.6 * off["plain"]
    assert off["chao_shen"] < 0.4 * off["plain"]


def test_nothing_counted_has_no_entropy_and_nonsense_is_refused():
    assert math.isnan(entropy([]))
    assert math.isnan(entropy([0, 0]))
    with pytest.raises(UsageError, match="negative"):
        entropy([1, -1])
    with pytest.raises(UsageError, match="plain, miller_madow"):
        entropy([1], "chao")
