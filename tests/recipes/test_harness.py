"""Public tasks in a recipe: instances of their own, and no rule that could not be answered."""

import json

import pytest

from stillhouse.core.errors import RecipeError
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.instance_config import Content
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.metric_names import scale_of
from stillhouse.recipes.plan import build_plan

HARNESS = "evaluate.harness={tasks: [arc_easy], limit: 5}"
CPU = ResolvedCompute("cpu", "float32", 2)


def plan_of(*overrides, content=None):
    recipe = load_recipe("quickstart", overrides).recipe
    return build_plan(recipe, content or Content(source="rows"), CPU)


def ids(*overrides, content=None):
    plan = plan_of(*overrides, content=content)
    return {instance.key: instance.artifact_id for instance in plan.instances}


def gate(**rule):
    return f"gate={json.dumps({'rules': [rule]})}"


def test_every_candidate_in_memory_is_asked_and_no_evaluation_changes():
    plain, asked = ids(), ids(HARNESS)

    own = {f"harness@{who}" for who in ("teacher", "student", "twin", "exported")}
    assert asked.keys() - plain.keys() == own
    assert {key for key in plain if plain[key] != asked[key]} == {
        "gate", "export", "evaluate@exported", "gate@exported", "register",
    }  # fmt: skip
    plan = plan_of(HARNESS)
    assert plan["gate"].inputs["harness of twin"] == "harness@twin"
    assert plan["gate@exported"].inputs["harness of exported"] == "harness@exported"
    assert plan["harness@exported"].inputs["model"] == "export"


def test_other_task_files_are_other_results():
    content = Content(source="rows", harness="other")
    before, after = ids(HARNESS), ids(HARNESS, content=content)
    assert before["harness@teacher"] != after["harness@teacher"]
    assert before["evaluate@teacher"] == after["evaluate@teacher"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ((gate(metric="harness.arc_easy.acc", at_least=0.5),), "add evaluate.harness: {tasks"),
        ((HARNESS, gate(metric="harness.arc_easy.acc", at_least=95)), "write 0.95"),
        (
            (HARNESS, gate(metric="harness.arc_easy.acc", at_least=0.5, each_slice="length"),
             "evaluate.slices=[length]"),
            "gate.rules.0: harness.arc_easy.acc is not of the holdout",
        ),
        (
            (HARNESS, gate(metric="harness.arc_easy.acc", at_least=0.5, against="rules"),
             "evaluate.baselines=[{name: rules, rules: songs}]"),
            "'rules' is not asked tasks of the harness; there are absolute, baseline, teacher",
        ),
        (
            (HARNESS, "prepare.split.parts.validation=100",
             "finetune.gate={rules: [{metric: harness.arc_easy.acc, at_least: 0.5}]}"),
            "harness.arc_easy.acc is measured of finished candidates",
        ),
        (("evaluate.harness={tasks: []}",), "at least 1 item"),
        (("evaluate.harness={tasks: [a, a]}",), "'a' stands there twice"),
    ],
)  # fmt: skip
def test_what_could_not_be_answered_is_refused(overrides, said):
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", overrides)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "scale"),
    [("harness.arc_easy.acc", (0.0, 1.0)), ("harness.gsm8k.exact_match.strict-match", (0.0, 1.0)),
     ("harness.lambada.perplexity", (-float("inf"), float("inf"))),
     ("harness.acc.mcc", (-float("inf"), float("inf")))],
)  # fmt: skip
def test_a_measure_that_is_a_share_is_known_by_its_name(name, scale):
    assert scale_of(name) == scale
