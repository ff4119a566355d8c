"""A class in a field: nothing unread looks good, and the numbers are their definitions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.evals.classes import score_classes, score_written_classes, unread
from stillhouse.evals.votes import SMOOTHING

NONE = [math.nan] * 3
SURE_A, SURE_B = [0.0, -40.0, -45.0], [-40.0, 0.0, -45.0]
WORST = math.log(3 / SMOOTHING)


def naive_kl(teacher, own):
    """In fractions, the logarithms alone in float64."""
    mixed = [
        [
            (1 - Fraction(SMOOTHING)) * Fraction(math.exp(one)) + Fraction(SMOOTHING) / len(logs)
            for one in logs
        ]
        for logs in (teacher, own)
    ]
    return math.fsum(float(p) * math.log(p / q) for p, q in zip(*mixed, strict=True))


def normalised(weights):
    logs = np.array(weights)
    return logs - np.logaddexp.reduce(logs)


LOGS = st.lists(st.floats(-60, 0), min_size=3, max_size=3).map(normalised)


@settings(max_examples=30, deadline=None)
@given(LOGS, LOGS)
def test_the_divergence_is_its_definition_of_smoothed_distributions(teacher, own):
    found = score_written_classes(teacher[None], own[None])

    assert found["class_kl"][0] == pytest.approx(naive_kl(teacher, own), rel=1e-9, abs=1e-12)
    assert found["class_kl"][0] <= WORST
    plain = score_classes(teacher[None], own[None])
    assert found["class_jsd"][0] == plain["class_jsd"][0]
    assert found["class_same"][0] == plain["class_same"][0]


@pytest.mark.parametrize(
    ("teacher", "own", "kl", "jsd", "same", "is_told", "is_unread"),
    [
        (SURE_A, SURE_A, 0.0, 0.0, 1, 1, 0),
        (SURE_A, SURE_B, WORST, math.log(2), 0, 1, 0),
        (SURE_A, NONE, WORST, math.log(2), 0, 1, 1),  # as wrong as may be
        (NONE, SURE_A, 0.0, 0.0, 0, 0, 0),  # nothing to compare with
        (NONE, NONE, 0.0, 0.0, 0, 0, 1),
        ([-math.log(3)] * 3, NONE, None, None, 0, 1, 1),  # all classes are the least likely
    ],
)
def test_what_is_not_read_counts_as_told(teacher, own, kl, jsd, same, is_told, is_unread):
    found = score_written_classes(np.array([teacher]), np.array([own]))

    assert found["class_same"][0] == same
    assert found["classed"][0] == is_told
    assert unread(np.array([own]))["class_unread"][0] == is_unread
    if kl is not None:
        assert found["class_kl"][0] == pytest.approx(kl, rel=2e-3, abs=1e-12)
        assert found["class_jsd"][0] == pytest.approx(jsd, abs=1e-9)
    assert all(np.isfinite(values).all() for values in found.values())


@settings(max_examples=30, deadline=None)
@given(LOGS, LOGS)
def test_silence_is_never_better_than_an_answer(teacher, own):
    answered, silent = (
        score_written_classes(teacher[None], np.array([one])) for one in (own, NONE)
    )

    assert silent["class_kl"][0] >= answered["class_kl"][0] - 1e-9
    assert silent["class_jsd"][0] >= answered["class_jsd"][0] - 1e-9
    assert silent["class_same"][0] == 0
