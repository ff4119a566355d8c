"""What needs gold answers is refused where the teacher's are measured against, with a way out."""

import pytest
from tests.recipes.test_built import recipe
from tests.recipes.test_plan import CPU

from stillhouse.recipes.instance_config import Content
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.metric_names import FIXED
from stillhouse.recipes.plan import build_plan
from stillhouse.recipes.reference_problems import needs_gold, reference_problems

TEACHER = {"evaluate__reference": "teacher"}
PLAIN = {"evaluate__metrics": [], "evaluate__measures": []}


def rules(*of):
    return {"gate__rules": [{"metric": "kl_to_teacher", "at_most": 1.0}, *of]}


def problems(**changes):
    changes = PLAIN | rules() | changes
    return {one.key: one.text for one in reference_problems(recipe(**changes))}


@pytest.mark.parametrize(
    ("changes", "key", "way"),
    [
        (rules({"metric": "exact_match", "at_least": 0.5}), "gate.rules.1", "take agreement,"),
        (rules({"metric": "ece", "at_most": 0.1}), "gate.rules.1", "reference: gold"),
        (
            rules({"metric": "accuracy.mood", "at_least": 0.5}),
            "gate.rules.1",
            "take agreement.mood,",
        ),
        (
            {"evaluate__metrics": ["kl_to_teacher", "field_accuracy"]},
            "evaluate.metrics.1",
            "take field_agreement,",
        ),
        (
            {"train__validation": {"examples": 4, "metrics": ["macro_f1.mood"]}},
            "train.validation.metrics.0",
            "agreement.mood",
        ),
        ({"evaluate__confidence_field": "sure"}, "evaluate.confidence_field", "remove it"),
        ({"evaluate__measures": ["songs"]}, "evaluate.measures.0", "remove it"),
        (
            rules({"metric": "bleu.answer", "against": "teacher", "at_least": -5.0}),
            "gate.rules.1.against",
            "absolute, or baseline",
        ),
    ],
)
def test_what_needs_gold_is_named_by_its_key_with_the_way_out(changes, key, way):
    assert way in problems(**TEACHER, **changes)[key]
    assert problems(**changes) == {}


def test_what_compares_with_the_teacher_or_tells_of_form_is_let_pass():
    asked = ("agreement", "agreement.mood", "field_agreement", "bleu.mood", "mae.score",
             "cross_entropy", "valid_json", "unreadable.mood", "kappa_to_teacher.mood",
             "ece_to_votes", "majority_accuracy", "class_agreement", "win_rate")  # fmt: skip
    assert problems(**TEACHER, evaluate__metrics=list(asked)) == {}


def test_every_metric_that_says_right_or_sure_is_known_to_need_gold():
    found = {name for name in FIXED if needs_gold(name)}

    assert found == {
        "adaptive_ece", "auroc_confidence", "brier", "christian_accuracy", "christian_sensitivity",
        "christian_specificity", "ece", "exact_match", "field_accuracy", "improved_share",
        "improvement", "worsened_share",
    }  # fmt: skip


def test_a_twin_that_never_hears_the_teacher_watches_the_loss_alone():
    watched = {"train__validation": {"examples": 4, "metrics": ["agreement"]}, "train__twin": {}}

    assert "labelled" in problems(**TEACHER, **watched)["train.twin.text"]
    assert problems(**TEACHER, **watched | {"train__twin": {"text": "labelled"}}) == {}


def configs(*overrides):
    loaded = load_recipe("quickstart", ["evaluate.latency={examples: 5}", "gate=null", *overrides])
    plan = build_plan(loaded.recipe, Content(source="rows"), CPU)
    return {instance.key: instance for instance in plan.instances}


def test_another_reference_names_examples_and_every_measurement_anew():
    gold = configs("evaluate.metrics=[]")
    teacher = configs("evaluate.metrics=[]", "evaluate.reference=teacher")

    same = {key for key in gold if gold[key].artifact_id == teacher[key].artifact_id}
    assert same == {"collect"}
    for key in ("prepare", "speed@twin", "evaluate@student", "evaluate@exported"):
        assert "reference" not in gold[key].config
        assert teacher[key].config["reference"] == "teacher"
    assert teacher["speed@teacher"].inputs["teacher"] == "evaluate@teacher"
    assert "reject" in teacher["evaluate@teacher"].config
