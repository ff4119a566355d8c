"""Metrics of numbers are those of scikit-learn; a limit is kept as decimal fractions keep it."""

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, root_mean_squared_error
from tests.evals.test_fields import SCORE, measure

from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.estimates import estimate_metric
from stillhouse.evals.fields import score_fields
from stillhouse.evals.metrics import metric_by_name
from stillhouse.evals.numbers import are_near
from stillhouse.evals.scores import Scores

PERCENT = st.floats(0, 100, allow_nan=False)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(PERCENT, PERCENT), min_size=1, max_size=9))
def test_errors_are_scikit_learns(pairs):
    # given references that are no fractions
    said, wanted = zip(*pairs, (50.0, 50.0), strict=False)
    texts = [[json.dumps({"f": value}) for value in side] for side in (said, wanted)]
    # when
    found = measure({"f": SCORE}, *texts)
    # then
    assert found["mae.f"] == pytest.approx(mean_absolute_error(wanted, said))
    assert found["rmse.f"] == pytest.approx(root_mean_squared_error(wanted, said))
    apart = [Fraction(repr(a)) - Fraction(repr(b)) for a, b in zip(said, wanted, strict=True)]
    assert found["within.f"] == pytest.approx(np.mean([abs(gap) <= 5 for gap in apart]))


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        (80.0, 85.0, True),
        (80.0, 85.01, False),
        (59.4, 64.4, True),
        (3.3, 8.3, True),
        (0.7, 5.7, True),
        (0.1, 5.1, True),
        (0.3, 5.3, True),
        (0.3, 5.300000000000001, False),
        (4.9, 9.9, True),
        (100.0, 95.0, True),
        (None, 80.0, False),
        (None, None, False),
    ],
)
def test_five_apart_is_near_and_a_hair_more_is_not(one, other, near):
    assert are_near(one, other, 5.0) is near
    assert are_near(other, one, 5.0) is near


def test_two_answers_without_an_error_prove_little_of_the_mean_error():
    # given two answers that are exact, on a scale where they might be 80 off
    texts = ['{"score": 80}', '{"score": 20}']
    columns = score_fields({"score": SCORE}, texts, texts, as_objects=True)
    scores = Scores(("1", "2"), columns)
    # when
    found = estimate_metric(metric_by_name("mae.score", scores), scores, Resampling())
    # then
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high > 5.0
