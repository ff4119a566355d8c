"""Rubric scores are read strictly, and compared on what both candidates were scored on."""

import json

import pytest
from tests.evals.judges import examples, judge_of, judging

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Example, Message
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.compare import compare
from stillhouse.evals.estimates import estimate_metric
from stillhouse.evals.metrics import metric_by_name
from stillhouse.evals.rubric import FIDELITY, both_judged, score_fidelity
from stillhouse.evals.scores import Scores

QUICK = Resampling(draws=200)


def keeps_the_context(parts):
    assert parts["Context"] == "Describe how it is seen."
    assert parts["Original"].startswith("a tree")
    return 5 if "seen" in parts["Rewritten"] else 2


def scores_of(answers, say=None, faults=None):
    judge = judge_of(say or judging("score", keeps_the_context), faults, "context_fidelity")
    given = examples(len(answers))
    return Scores(
        tuple(example.example_id for example in given), score_fidelity(judge, given, answers)
    )


def test_fidelity_is_the_mean_score_of_context_original_and_rewriting():
    scores = scores_of(["a tree, seen from below", "tree", "seen"])
    found = estimate_metric(metric_by_name(FIDELITY, scores), scores, QUICK)
    assert (found.value, found.n) == (pytest.approx(4.0), 3)


@pytest.mark.parametrize(
    "said", [0, 6, -1, 4.5, "4", None, True, [4], {"score": 4}, 10**30, float("nan")]
)
def test_a_score_that_is_no_whole_number_from_one_to_five_is_missing(said):
    scores = scores_of(["seen", "seen"], judging("score", lambda _: said))
    assert scores.column(FIDELITY).tolist() == [0, 0]
    assert scores.column(f"{FIDELITY}_judged").tolist() == [0, 0]
    missing = metric_by_name(f"{FIDELITY}_missing", scores)
    assert estimate_metric(missing, scores, QUICK).value == 1.0


@pytest.mark.parametrize("said", ["5", "score: 5", "", "{", json.dumps({"score": 5})])
def test_a_judgement_of_another_form_is_missing(said):
    scores = scores_of(["seen"], lambda messages, index: said)
    assert scores.column(f"{FIDELITY}_judged").tolist() == [0]


def test_a_comparison_leaves_out_on_both_sides_what_one_side_misses():
    # given that the judge failed on the base's only good answer
    own = scores_of(["seen", "seen", "tree"])
    base = scores_of(["seen", "tree", "tree"], faults={"e0": "overloaded"})
    # when
    metric = metric_by_name(FIDELITY, own)
    found = compare(metric, *both_judged(own, base), "difference", QUICK)
    # then
    assert found.value == pytest.approx((5 + 2) / 2 - 2)
    assert found.n == 2


def test_scores_of_other_examples_and_examples_without_context_are_refused():
    with pytest.raises(InputError, match="different examples"):
        both_judged(scores_of(["seen"]), scores_of(["seen", "seen"]))
    bare = [Example("x", "holdout", (Message("user", "a tree"),), None)]
    judge = judge_of(judging("score", keeps_the_context), None, "context_fidelity")
    with pytest.raises(InputError, match="no context to keep to, such as x"):
        score_fidelity(judge, bare, ["seen"])
    with pytest.raises(InputError, match="1 examples have 2 answers"):
        score_fidelity(judge, bare, ["seen", "seen"])
