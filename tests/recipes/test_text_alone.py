"""Rules that compare with whoever gives text alone, by what text does not tell, are refused."""

import pytest

from stillhouse.core.errors import RecipeError
from stillhouse.recipes.load import load_recipe


def load(*changes):
    return load_recipe("songs", list(changes), profile="tiny")


def rule(metric, against, **more):
    told = {"metric": metric, "against": against, "at_most": 0.5} | more
    return "gate.rules=[{" + ", ".join(f"{key}: {value}" for key, value in told.items()) + "}]"


@pytest.mark.parametrize(
    "metric",
    ["cross_entropy", "class_agreement", "class_unread", "ece", "ece.verdict", "size_bytes",
     "answer_token_accuracy"],
)  # fmt: skip
def test_a_baseline_of_rules_has_no_number_that_weights_give(metric):
    with pytest.raises(RecipeError) as caught:
        load(rule(metric, "four_models"))
    assert f"no {metric} of the four_models to compare with: it gives text" in str(caught.value)


@pytest.mark.parametrize(
    ("metric", "against"),
    [
        ("accuracy.verdict", "four_models"),
        ("error.unreadable", "four_models"),
        ("ece.verdict", "teacher"),
        ("class_unread", "baseline"),
        ("cross_entropy", "absolute"),
    ],
)
def test_what_both_have_can_be_compared(metric, against):
    load(rule(metric, against))


def test_a_confidence_that_answers_tell_is_known_of_everyone():
    asked = (
        "evaluate.fields.sure={kind: number, low: 0, high: 1}",
        "evaluate.confidence_field=sure",
    )
    load(rule("ece", "four_models"), *asked)


def test_an_untouched_student_has_weights():
    load(rule("cross_entropy", "base"), "evaluate.baselines=[{name: base, model: student}]")
