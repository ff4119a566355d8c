"""The section `domains`: how it is written, what it cannot stand beside, and the plan it makes."""

from __future__ import annotations

import pytest
from tests.recipes.test_load import problems

from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.domains import Domain
from stillhouse.recipes.instance_config import Content
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.plan import build_plan

CPU = ResolvedCompute("cpu", "float32", 2)
GOOD = """\
name: specialists
teacher: {path: teacher}
student: {path: student}
domains: [task, debug]
collect:
  source: {file: rows.csv}
prepare:
  user: "{text}"
  answer: label
  domain_field: domain
  split: {parts: {holdout: 0.2, labelled: rest}}
label: {parts: [labelled]}
train:
  parts: [labelled]
  length: {steps: 3}
  lora: {rank: 4}
gate:
  rules: [{metric: kl_to_teacher, at_most: 1.0, each_slice: domain}]
export: {formats: [adapter]}
"""


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "r.yaml"
    found.write_text(GOOD)
    return str(found)


def plan_of(path, *overrides):
    recipe = load_recipe(path, overrides).recipe
    return build_plan(recipe, Content(source="rows", teacher="t", student="s"), CPU)


def ids(path, *overrides):
    return {one.key: one.artifact_id for one in plan_of(path, *overrides).instances}


@pytest.mark.parametrize(
    "written", ["[task, debug]", "{task: {}, debug: {}}", "{task: null, debug: null}"]
)
def test_names_may_be_listed_or_stand_before_settings(path, written):
    found = load_recipe(path, [f"domains={written}"]).recipe.domains
    assert found == {"task": Domain(), "debug": Domain()}
    assert list(found) == ["task", "debug"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[task, task]", "'task' is named twice"),
        ("[task, {debug: {system: x}}]", "a list of domains holds names"),
        ("[Task]", "should match pattern"),
        ("[a.b]", "should match pattern"),
        ("{task: {sytem: x}}", "unknown key"),
    ],
)
def test_a_domain_that_cannot_be_is_refused(path, written, said):
    assert said in problems(path, f"domains={written}")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("prepare.domain_field=null", "r.yaml:4 domains: no row says which one it belongs to"),
        ("train.lora=null", "r.yaml:4 domains: are adapters on one frozen base: add train.lora"),
        ("export.formats=[merged]", "export.formats: [merged], but every domain has an adapter"),
        ("export.formats=[adapter, merged]", "[adapter, merged], but every domain has an adapter"),
        ("domains=[]", "prepare.domain_field: deals rows out to domains, and the recipe has none"),
        ("evaluate.harness={tasks: [x]}", "evaluate.harness: its tasks belong to no domain"),
        ("train.lora.bias=all", "train.lora.bias: all trains weights of the base"),
    ],
)
def test_what_contradicts_domains_is_named_with_its_place(path, change, line):
    assert line in problems(path, change)


def test_rules_may_be_asked_of_each_domain_without_naming_the_slice(path):
    assert load_recipe(path).recipe.evaluate.slices == ()
    assert "holdout is not cut by it" in problems(
        path, "domains=[]", "prepare.domain_field=null", "export.formats=[merged]"
    )


def test_all_domains_are_one_labelling_and_one_training(path):
    keys = list(ids(path))
    assert [key for key in keys if key.startswith(("label", "train"))] == ["label", "train@student"]
    assert plan_of(path)["train@student"].config["domains"] == ["task", "debug"]


def test_a_domains_personality_is_part_of_its_prompts(path):
    before = ids(path)
    after = ids(path, "domains={task: {system: Plan.}, debug: {}}")
    assert before["collect"] == after["collect"]
    assert before["prepare"] != after["prepare"]


def test_a_recipe_without_domains_says_nothing_of_them_to_any_stage(path):
    plain = ("domains=[]", "prepare.domain_field=null", "export.formats=[merged]", "gate=null")
    for instance in plan_of(path, *plain).instances:
        assert "domains" not in instance.config
