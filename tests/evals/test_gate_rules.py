"""The truth table of a gate's rules: pass, fail, not enough data, and how much would be enough."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.core.errors import InputError
from stillhouse.evals.bootstrap import Resampling, of_sums, ratio
from stillhouse.evals.fields import score_fields
from stillhouse.evals.gates import decide
from stillhouse.evals.metric import Metric
from stillhouse.evals.proportions import exact_interval
from stillhouse.evals.scores import Scores
from stillhouse.evals.slices import slice_columns
from stillhouse.recipes.answers import AnswerKind
from stillhouse.recipes.gating import Gate, Rule

QUICK = Resampling(draws=200)
RANKS = {"fail": 0, "not enough data": 1, "pass": 2}


def shares(right, n, *, of=None, slices=None):
    """A table in which `right` of `n` answers are right; `of`: units that are counted."""
    values = (np.arange(n) < right).astype(float)
    columns = {"exact": values}
    if of is not None:
        columns |= {"field:f": values, "field_asked:f": (np.arange(n) < of).astype(float)}
    for name, chosen in (slices or {}).items():
        columns[f"slice:{name}"] = np.array(chosen, float)
    return Scores(tuple(map(str, range(n))), columns)


def ask(scores, candidate="student", others=None, **rule):
    gate = Gate(rules=(Rule(**rule),))
    verdict = decide(gate, {candidate: scores, **(others or {})}, candidate, QUICK)
    return verdict.rules[0] if len(verdict.rules) == 1 else verdict.rules


@pytest.mark.parametrize(
    ("right", "n", "by", "decision"),
    [
        (180, 200, "point", "pass"),  # the limit itself keeps the rule
        (179, 200, "point", "fail"),
        (180, 200, "confidence", "not enough data"),
        (188, 200, "confidence", "not enough data"),
        (189, 200, "confidence", "pass"),
        (179, 200, "confidence", "fail"),
        (9, 9, "point", "pass"),
        (9, 9, "confidence", "not enough data"),
        (36, 36, "confidence", "pass"),  # 0.025 ** (1 / 36) = 0.9026
        (35, 35, "confidence", "not enough data"),  # 0.8999
        (0, 5, "confidence", "fail"),
    ],
)
def test_nine_in_ten(right, n, by, decision):
    said = ask(shares(right, n), metric="exact_match", at_least=0.9, decide_by=by)
    assert said.decision == decision
    assert said.n == n


@pytest.mark.parametrize(
    ("wrong", "n", "by", "decision"),
    [
        (5, 100, "point", "pass"),
        (6, 100, "point", "fail"),
        (5, 100, "confidence", "not enough data"),
        (0, 100, "confidence", "pass"),
        (0, 71, "confidence", "not enough data"),  # 1 - 0.025 ** (1 / 71) = 0.0506
        (0, 72, "confidence", "pass"),  # 0.0499
    ],
)
def test_at_most_one_in_twenty(wrong, n, by, decision):
    said = ask(shares(wrong, n), metric="exact_match", at_most=0.05, decide_by=by)
    assert said.decision == decision


@pytest.mark.parametrize(
    ("of", "right", "min_n", "by", "decision", "n_enough"),
    [
        (4, 4, 100, "point", "not enough data", 100),
        (4, 4, 100, "confidence", "not enough data", 100),
        (4, 4, 1, "point", "pass", 0),
        (4, 4, 1, "confidence", "not enough data", 72),
        (0, 0, 1, "point", "not enough data", 1),
        (120, 120, 100, "confidence", "pass", 0),
        (99, 0, 100, "point", "not enough data", 100),
        (100, 0, 100, "point", "fail", 0),
    ],
)
def test_n_is_what_the_metric_counts_not_the_examples(of, right, min_n, by, decision, n_enough):
    # given 200 examples of which few count, as with positives
    scores = shares(right, 200, of=of)
    said = ask(scores, metric="field_accuracy.f", at_least=0.95, decide_by=by, min_n=min_n)
    assert (said.decision, said.n, said.n_enough) == (decision, of, n_enough)


def test_the_number_that_would_decide_does_decide_and_one_less_does_not():
    said = ask(shares(186, 200), metric="exact_match", at_least=0.9)
    assert said.decision == "not enough data"
    assert exact_interval(0.93 * said.n_enough, said.n_enough, 0.95)[0] > 0.9
    assert exact_interval(0.93 * (said.n_enough - 1), said.n_enough - 1, 0.95)[0] <= 0.9
    assert f"about {said.n_enough} examples would decide" in said.reason


def test_the_number_that_would_decide_a_paired_rule_does():
    # given a student that loses 2 of 50 and wins 1
    one = np.ones(50)
    one[:2] = 0
    two = np.ones(50)
    two[2] = 0
    student, teacher = (Scores(tuple(map(str, range(50))), {"exact": each}) for each in (one, two))
    rule = {"metric": "exact_match", "against": "teacher", "at_least": -0.05}
    said = ask(student, others={"teacher": teacher}, **rule)
    assert said.decision == "not enough data"
    # when as many times more of the same are asked
    times = -(-said.n_enough // 50)
    ids = tuple(map(str, range(50 * times)))
    many = [Scores(ids, {"exact": np.tile(each, times)}) for each in (one, two)]
    # then
    assert ask(many[0], others={"teacher": many[1]}, **rule).decision == "pass"


@pytest.mark.parametrize("by", ["point", "confidence"])
@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 250), right=st.integers(0, 250), limit=st.floats(0.05, 0.95))
def test_one_more_right_answer_never_makes_a_verdict_worse(by, n, right, limit):
    right = min(right, n - 1)
    rule = {"metric": "exact_match", "at_least": limit, "decide_by": by}
    before, after = (ask(shares(k, n), **rule).decision for k in (right, right + 1))
    assert RANKS[after] >= RANKS[before]


@settings(max_examples=30, deadline=None)
@given(
    cells=st.tuples(*[st.integers(0, 30)] * 3, st.integers(1, 30)),
    relation=st.sampled_from(["difference", "ratio"]),
    margin=st.floats(0.0, 0.3),
    by=st.sampled_from(["point", "confidence"]),
)
def test_one_more_right_answer_never_makes_a_comparison_worse(cells, relation, margin, by):
    both, first, second, _ = cells
    kinds = np.repeat([0, 1, 2, 3], cells)
    ids = tuple(map(str, range(len(kinds))))
    right = (kinds < 2).astype(float)
    more = right.copy()
    more[both + first + second] = 1.0
    other = {"teacher": Scores(ids, {"exact": np.isin(kinds, (0, 2)).astype(float)})}
    limit = -margin if relation == "difference" else 1.0 - margin
    rule = {"metric": "exact_match", "against": "teacher", "relation": relation,
            "at_least": limit, "decide_by": by}  # fmt: skip
    decisions = [
        ask(Scores(ids, {"exact": values}), others=other, **rule).decision
        for values in (right, more)
    ]
    assert RANKS[decisions[1]] >= RANKS[decisions[0]]


def test_rounding_decides_nothing():
    # given 0.1 + 0.2 - 0.3 = 5.6e-17 more than nothing
    ids = ("a", "b", "c")
    sums = np.array([0.1, 0.2, -0.3])
    scores = Scores(ids, {"kl": sums, "tokens": np.ones(3)})
    assert sums.sum() > 0
    said = ask(scores, metric="kl_to_teacher", at_most=0.0, decide_by="point")
    assert said.decision == "pass"


def test_a_rule_on_one_slice_sees_that_slice_alone():
    # given all gospel right and half of the rest wrong
    n = 40
    gospel = np.arange(n) < 20
    scores = shares(30, n, slices={"genre=gospel": gospel, "genre=rock": ~gospel})
    rule = {"metric": "exact_match", "at_least": 0.9, "decide_by": "point"}
    # when
    whole = ask(scores, **rule)
    on_gospel = ask(scores, **rule, slice={"genre": "gospel"})
    on_rock = ask(scores, **rule, slice={"genre": "rock"})
    # then
    assert (whole.decision, on_gospel.decision, on_rock.decision) == ("fail", "pass", "fail")
    assert (whole.n, on_gospel.n, on_rock.n) == (40, 20, 20)
    assert on_gospel.text == "exact_match where genre is gospel at least 0.9"


def test_a_rule_on_each_slice_is_asked_once_a_slice_and_a_small_one_does_not_pass():
    n = 43
    part = np.arange(n)
    scores = shares(
        43, n,
        slices={"genre=a": part < 20, "genre=b": (part >= 20) & (part < 40), "genre=c": part >= 40},
    )  # fmt: skip
    rule = {"metric": "exact_match", "at_least": 0.5, "each_slice": "genre", "min_n": 10}
    said = ask(scores, **rule)
    assert [one.decision for one in said] == ["pass", "pass", "not enough data"]
    assert "asks for at least 10" in said[2].reason


def test_a_comparison_on_a_slice_is_paired_on_that_slice():
    n = 40
    gospel = np.arange(n) < 20
    slices = {"genre=gospel": gospel, "genre=rock": ~gospel}
    student = shares(20, n, slices=slices)
    teacher = shares(40, n, slices=slices)
    rule = {"metric": "exact_match", "against": "teacher", "at_least": -0.2}
    said = ask(student, others={"teacher": teacher}, **rule, each_slice="genre")
    assert [one.decision for one in said] == ["pass", "fail"]


def test_a_slice_without_one_reference_is_not_enough_data_and_ends_no_run():
    # given numbers that the references of one part lack
    score = {"score": AnswerKind(kind="number", low=0, high=100)}
    known = [json.dumps({"score": 10 * place, "v": 1}) for place in range(8)]
    columns = score_fields(score, known * 2, [*known, *['{"v": 1}'] * 8], as_objects=True)
    columns |= slice_columns("genre", [["sung"]] * 8 + [["played"]] * 8)
    scores = Scores(tuple(map(str, range(16))), columns)

    for rule in ({"at_most": 60.0}, {"against": "teacher", "at_most": 60.0, "min_n": 3}):
        said = ask(scores, others={"teacher": scores}, metric="mae.score", each_slice="genre",
                   **rule)  # fmt: skip
        assert {one.n: one.decision for one in said} == {8: "pass", 0: "not enough data"}


def test_a_slice_that_is_not_there_names_those_that_are():
    scores = shares(3, 4, slices={"genre=a": [1, 1, 0, 0], "genre=b": [0, 0, 1, 1]})
    rule = {"metric": "exact_match", "at_least": 0.5}
    with pytest.raises(InputError, match="no part 'c' by genre") as caught:
        ask(scores, **rule, slice={"genre": "c"})
    assert caught.value.hint == "its parts: a, b"
    with pytest.raises(InputError, match="not cut by 'decade'") as other:
        ask(scores, **rule, each_slice="decade")
    assert other.value.hint == "it was cut by: genre"
    with pytest.raises(InputError, match=r"evaluate\.slices"):
        ask(shares(3, 4), **rule, each_slice="genre")


def test_a_limit_off_the_scale_of_a_metric_is_refused_where_the_recipe_does_not_know_it(
    monkeypatch,
):
    stars = Metric("stars", "Stars", "higher", "Of five.", ("stars", "count"), of_sums(ratio),
                   scale=(1.0, 5.0))  # fmt: skip
    monkeypatch.setattr("stillhouse.evals.metrics.FIXED", (stars,))
    scores = Scores(("a", "b"), {"stars": np.array([4.0, 5.0])})
    assert ask(scores, metric="stars", at_least=4.0, decide_by="point").decision == "pass"
    with pytest.raises(InputError, match="stars lies from 1 to 5: no value keeps at least 90"):
        ask(scores, metric="stars", at_least=90.0)


def test_all_alike_on_a_bounded_scale_prove_little_when_they_are_few(monkeypatch):
    stars = Metric("stars", "Stars", "higher", "Of five.", ("stars", "count"), of_sums(ratio),
                   scale=(1.0, 5.0))  # fmt: skip
    monkeypatch.setattr("stillhouse.evals.metrics.FIXED", (stars,))
    few, many = (
        ask(Scores(tuple(map(str, range(n))), {"stars": np.full(n, 5.0)}), metric="stars",
            at_least=4.9) for n in (3, 200)
    )  # fmt: skip
    assert (few.decision, many.decision) == ("not enough data", "pass")
    # 1 - 0.025 ** (1 / 3) of three may be 1 in place of 5
    assert few.low == pytest.approx(5 - 4 * (1 - 0.025 ** (1 / 3)))


def test_the_limit_itself_is_never_shown_by_an_interval_and_the_reason_says_so():
    said = ask(shares(200, 200), metric="exact_match", at_least=1.0)
    assert (said.decision, said.n_enough) == ("not enough data", 0)
    assert "the estimate is the limit itself" in said.reason
