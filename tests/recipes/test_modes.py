"""Who may say what the student learns: a live teacher, its own base; and what contradicts it."""

import pytest

from stillhouse.core.errors import RecipeError
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.instance_config import Content
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.plan import build_plan

RECIPE = """\
name: taught
teacher: {path: teacher}
student: {path: student}
collect: {source: {file: rows.csv}}
prepare:
  user: "{text}"
  answer: label
  split: {parts: {holdout: 4, labelled: rest}}
label: {parts: [labelled]}
train:
  parts: [labelled]
  mode: live
  length: {epochs: 2}
  weights: {forward_kl: 0.7, cross_entropy: 0.3}
  twin: {parts: [labelled]}
"""
BASE = RECIPE.replace("mode: live", "mode: base\n  lora: {rank: 4}")
API = "teacher: {api: {kind: anthropic, model: m}}\nnetwork: [api.anthropic.com]"


@pytest.fixture
def load(tmp_path):
    def read(text, *overrides):
        path = tmp_path / "r.yaml"
        path.write_text(text)
        return load_recipe(str(path), overrides).recipe

    return read


def plan_of(recipe):
    content = Content("rows", "teacher's weights", "student's weights", "tokenizer")
    return build_plan(recipe, content, ResolvedCompute("cpu", "float32", 1))


@pytest.mark.parametrize("text", [RECIPE, BASE], ids=["live", "base"])
def test_nothing_is_stored_where_the_teacher_is_asked_while_training(load, text):
    assert load(text).label.targets == "none"
    assert load(text.replace("live", "cached")).label.stores_tokens is (text == RECIPE)


def test_a_live_teacher_is_an_input_of_the_student_and_of_nobody_else(load):
    tuned = RECIPE + "finetune: {parts: [labelled], length: {steps: 1}}\n"
    live, cached = (plan_of(load(text)) for text in (tuned, tuned.replace("live", "cached")))

    assert live["train@student"].inputs["teacher"] == "finetune"
    assert live["train@student"].config["teacher"]["weights"] == "teacher's weights"
    assert "teacher" not in cached["train@student"].inputs
    assert "teacher" not in cached["train@student"].config
    # The twin learns gold answers, whoever teaches the student.
    assert live["train@twin"].artifact_id == cached["train@twin"].artifact_id


def test_a_live_teacher_changes_the_students_name(load):
    one = plan_of(load(RECIPE))["train@student"].artifact_id
    content = Content("rows", "other weights", "student's weights", "tokenizer")
    other = build_plan(load(RECIPE), content, ResolvedCompute("cpu", "float32", 1))

    assert other["train@student"].artifact_id != one


@pytest.mark.parametrize(
    ("text", "changes", "said"),
    [
        (
            RECIPE,
            ["train.weights={cross_entropy: 1}"],
            "r.yaml:12 train.mode: live asks for the teacher's distribution, and train.weights",
        ),
        (
            RECIPE,
            ["label.targets=top_k"],
            "--set label.targets=top_k label.targets: top_k would be stored and never read",
        ),
        (
            RECIPE.replace("teacher: {path: teacher}", API),
            [],
            "r.yaml:13 train.mode: live needs the teacher's weights, and a teacher behind an API",
        ),
        (
            RECIPE.replace("{parts: [labelled]}\ntrain", "{parts: [unlabelled]}\ntrain"),
            [],
            "r.yaml:11 train.parts: the teacher is not asked about the part 'labelled'",
        ),
        (
            BASE,
            ["train.lora=null"],
            "r.yaml:12 train.mode: base is the student without its adapter",
        ),
        (
            BASE,
            ["train.weights={forward_kl: 1}"],
            "train.weights: a fresh adapter changes nothing, so that train.mode: base has nothing",
        ),
        (
            BASE,
            ["student={scratch: {model_type: llama}}"],
            "r.yaml:12 train.mode: base keeps the student near its own base, and that must have",
        ),
        (
            BASE,
            ["train.lora.bias=lora_only"],
            "--set train.lora.bias=lora_only train.lora.bias: lora_only trains weights of the base",
        ),
        (
            RECIPE,
            ["train.weights={class_kl: 1}", "label.classes=[a, b]"],
            "r.yaml:12 train.mode: live asks about tokens, and train.weights.class_kl learns what",
        ),
    ],
)
def test_what_contradicts_a_mode_is_refused_with_its_line(load, text, changes, said):
    with pytest.raises(RecipeError) as caught:
        load(text, *changes)
    assert said in str(caught.value)


def test_a_teacher_behind_an_api_may_write_what_a_base_holds_back(load):
    recipe = load(BASE.replace("teacher: {path: teacher}", API))

    assert plan_of(recipe)["train@student"].config["training"]["mode"] == "base"
