"""Intervals hold the truth as often as they say, and a gate at the limit passes by luck seldom."""

import numpy as np
import pytest
from tests.evals.coverage_cases import (
    coverage,
    fraction_coverage,
    paired_coverage,
    paired_fractions,
    share_of_passes,
    table,
)

SIMULATIONS = 2000
NAMED = [
    ("normal", 20),
    ("normal", 50),
    ("normal", 200),
    ("exponential", 50),
    ("exponential", 200),
    ("paired difference", 20),
    ("paired difference", 50),
    ("paired difference", 200),
    ("heavy-tailed pair", 50),
    ("heavy-tailed pair", 200),
    ("ratio of sums", 50),
    ("ratio of sums", 200),
]
SHARES = (0.02, 0.05, 0.2, 0.5, 0.9, 0.95, 0.99)
PAIRED = [(0.9, 0.9, 0.88), (0.9, 0.8, 0.78), (0.99, 0.99, 0.985), (0.5, 0.5, 0.4), (0.3, 0.2, 0.1)]


def exact_table(generator, n, p):
    return {"student": table(generator.random(n) < p)}


def recall_table(generator, n, p, positives):
    units = (np.arange(n) < positives).astype(float)
    return {"student": table((generator.random(n) < p) * units, units=units)}


def pair_of(generator, n, p_one, p_two, p_both):
    one, two = paired_fractions(generator, n, p_one, p_two, p_both)
    return {"student": table(one), "teacher": table(two)}


def kl_of(generator, n, mean):
    return {"student": table(np.ones(n), kl=generator.exponential(mean, n))}


def kl_pair(generator, n, mean_one, mean_two):
    hard = generator.exponential(1.0, n)
    return {
        "student": table(np.ones(n), kl=mean_one * hard * generator.uniform(0.5, 1.5, n)),
        "teacher": table(np.ones(n), kl=mean_two * hard * generator.uniform(0.5, 1.5, n)),
    }


AT_LIMIT = {
    "share 0.9 of 20": ({"metric": "exact_match", "at_least": 0.9}, exact_table, (20, 0.9)),
    "share 0.9 of 200": ({"metric": "exact_match", "at_least": 0.9}, exact_table, (200, 0.9)),
    "share 0.5 of 50": ({"metric": "exact_match", "at_least": 0.5}, exact_table, (50, 0.5)),
    "share 0.05 of 200": ({"metric": "exact_match", "at_most": 0.05}, exact_table, (200, 0.05)),
    "share 0.05 of 1000": ({"metric": "exact_match", "at_most": 0.05}, exact_table, (1000, 0.05)),
    "4 positives": (
        {"metric": "field_accuracy.f", "at_least": 0.3}, recall_table, (200, 0.3, 4)
    ),
    "40 positives": (
        {"metric": "field_accuracy.f", "at_least": 0.8}, recall_table, (200, 0.8, 40)
    ),
    "equal of 20": (
        {"metric": "exact_match", "against": "teacher", "at_least": 0.0},
        pair_of, (20, 0.8, 0.8, 0.7),
    ),
    "equal of 200": (
        {"metric": "exact_match", "against": "teacher", "at_least": 0.0},
        pair_of, (200, 0.9, 0.9, 0.88),
    ),
    "worse by the margin": (
        {"metric": "exact_match", "against": "teacher", "at_least": -0.05},
        pair_of, (200, 0.85, 0.9, 0.82),
    ),
    "ratio at the limit": (
        {"metric": "exact_match", "against": "teacher", "relation": "ratio", "at_least": 0.95},
        pair_of, (200, 0.855, 0.9, 0.82),
    ),
    "skewed mean of 20": ({"metric": "kl_to_teacher", "at_most": 1.0}, kl_of, (20, 1.0)),
    "skewed mean of 200": ({"metric": "kl_to_teacher", "at_most": 1.0}, kl_of, (200, 1.0)),
    "ratio of skewed means": (
        {"metric": "kl_to_teacher", "against": "teacher", "relation": "ratio", "at_most": 0.5},
        kl_pair, (100, 0.5, 1.0),
    ),
    "difference of skewed means": (
        {"metric": "kl_to_teacher", "against": "teacher", "at_most": 0.0},
        kl_pair, (50, 1.0, 1.0),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "n"), [("exponential", 50), ("paired difference", 20)])
def test_bootstrap_intervals_hold_the_truth_about_as_often_as_they_say(name, n):
    found, below, above = coverage(name, n, simulations=400, draws=500)
    assert 0.91 <= found <= 0.985
    assert max(below, above) <= 0.06


@pytest.mark.parametrize("p", [0.02, 0.5, 0.95])
@pytest.mark.parametrize("n", [10, 200])
def test_intervals_of_fractions_hold_the_truth_at_least_as_often_as_they_say(p, n):
    assert fraction_coverage(p, n, simulations=200) >= 0.92


@pytest.mark.parametrize("case", ["share 0.9 of 200", "4 positives", "equal of 20"])
def test_a_gate_exactly_at_the_limit_passes_by_luck_seldom(case):
    rule, make, arguments = AT_LIMIT[case]
    assert share_of_passes(rule, lambda rng: make(rng, *arguments), simulations=200) <= 0.06


@pytest.mark.long
@pytest.mark.parametrize(("name", "n"), NAMED)
def test_bootstrap_intervals_hold_the_truth_95_times_in_a_hundred(name, n):
    found, below, above = coverage(name, n, SIMULATIONS, draws=2000)
    print(f"{name} n={n}: {found:.4f}, below {below:.4f}, above {above:.4f}")
    assert 0.93 <= found <= 0.97


@pytest.mark.long
@pytest.mark.parametrize("n", [10, 20, 50, 200])
def test_exact_intervals_hold_every_share(n):
    found = {p: fraction_coverage(p, n, SIMULATIONS) for p in SHARES}
    print(f"n={n}: {found}")
    assert min(found.values()) >= 0.94


@pytest.mark.long
@pytest.mark.parametrize("relation", ["difference", "ratio"])
@pytest.mark.parametrize("probabilities", PAIRED)
def test_intervals_of_paired_shares_hold_the_truth(relation, probabilities):
    found = {n: paired_coverage(relation, n, probabilities, SIMULATIONS) for n in (10, 20, 50, 200)}
    print(f"{relation} {probabilities}: {found}")
    assert min(found.values()) >= 0.92


@pytest.mark.long
@pytest.mark.parametrize("case", AT_LIMIT)
def test_a_gate_exactly_at_the_limit_passes_at_most_5_times_in_a_hundred(case):
    rule, make, arguments = AT_LIMIT[case]
    found = share_of_passes(rule, lambda rng: make(rng, *arguments), SIMULATIONS, draws=1000)
    print(f"{case}: {found:.4f}")
    assert found <= 0.05
