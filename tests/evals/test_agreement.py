"""A student agrees with its teacher where score and verdict do, whoever is right."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from tests.evals.test_fields import SCORE, VERDICT, values_of

from stillhouse.core.errors import InputError
from stillhouse.evals.field_agreement import score_field_agreement
from stillhouse.recipes.answers import AnswerKind

KINDS = {"score": SCORE, "verdict": VERDICT, "why": AnswerKind(kind="text")}


def answer(score, verdict, why="because"):
    return json.dumps({"score": score, "verdict": verdict, "why": why})


def compare(said, teacher, kinds=KINDS):
    together = ("score", "verdict")
    return score_field_agreement(kinds, said, teacher, together=together, as_objects=True)


@pytest.mark.parametrize(
    ("own", "agrees"),
    [
        (answer(80, "good"), True),
        (answer(85, "good"), True),
        (answer(75.0, "good", "other words"), True),
        (answer(85.01, "good"), False),
        (answer(74.99, "good"), False),
        (answer(80, "bad"), False),
        (answer(90, "bad"), False),
        ("torn", False),
        (answer("80", "good"), False),
        (answer(80, "fine"), False),
    ],
)
def test_agreement_is_a_score_within_five_and_the_same_verdict(own, agrees):
    assert compare([own], [answer(80, "good")])["agrees_together"].tolist() == [agrees]


def test_two_unreadable_answers_do_not_agree():
    columns = compare(["torn", "{}"], ["torn", "{}"])
    found = values_of(columns)
    assert found["score_verdict_agreement"] == found["agreement.verdict"] == 0.0
    assert found["kappa_to_teacher.verdict"] == 0.0


def test_each_part_of_the_agreement_stands_beside_it():
    # given 180 of 200 that agree at once: 10 differ in the score, 10 in the verdict
    teacher = [answer(80, "good")] * 100 + [answer(20, "bad")] * 100
    said = [answer(90, "good")] * 10 + teacher[10:190] + [answer(20, "good")] * 10
    # when
    found = values_of(compare(said, teacher))
    # then
    assert found["score_verdict_agreement"] == 0.9
    assert found["agreement.score"] == found["agreement.verdict"] == 0.95
    assert found["kappa_to_teacher.verdict"] == pytest.approx(0.9)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from(["good", "bad", "x"])] * 2), min_size=1, max_size=9))
def test_kappa_with_the_teacher_is_scikit_learns(pairs):
    # given answers of which x cannot be read, by either
    said, teacher = zip(*pairs, strict=True)
    # when
    found = values_of(compare(*([answer(1, name) for name in side] for side in (said, teacher))))
    # then
    names = [[f"{place}x" if name == "x" else name for name in side] for place, side in
             enumerate((said, teacher))]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = cohen_kappa_score(*names)
    assert found["kappa_to_teacher.verdict"] == pytest.approx(expected, nan_ok=True)


def test_agreement_on_a_field_that_is_not_compared_is_refused():
    with pytest.raises(InputError, match="'verdict', which is not compared"):
        compare([answer(1, "good")], [answer(1, "good")], {"score": SCORE})


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.75, 1.0])
def test_the_acceptance_length_is_the_mean_of_drafts_that_are_accepted_one_by_one(alpha):
    # given the same acceptance at each of 7 tokens
    found = values_of({"acceptance": np.array([alpha * 7]), "tokens": np.array([7.0])})
    # when drafts of 4 are played through: one token more than the accepted ones
    lengths = [1 + accepted for accepted in range(5)]
    chances = [alpha**k * (1 - alpha if k < 4 else 1) for k in range(5)]
    # then
    assert found["acceptance_rate"] == pytest.approx(alpha)
    assert found["expected_acceptance"] == pytest.approx(np.dot(lengths, chances))
