"""What a training is told to measure or to stop by is refused where it cannot be measured."""

import pytest

from stillhouse.core.errors import RecipeError
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.watched import is_of_teacher, is_watched

RECIPE = """\
name: small
teacher: {path: teacher}
student: {path: student}
collect:
  source: {file: rows.csv}
prepare:
  user: "{text}"
  answer: label
  split: {parts: {holdout: 0.2, validation: 0.1, labelled: rest}}
finetune:
  parts: [labelled]
  length: {steps: 3}
label: {parts: [labelled]}
train:
  parts: [labelled]
  length: {steps: 3}
  weights: {forward_kl: 1.0, cross_entropy: 0.5}
"""


def load(tmp_path, *overrides):
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE)
    return load_recipe(str(path), overrides).recipe


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("exact_macth", "exact_macth is not measured while a model trains: did you mean exact_mat"),
        ("los", "did you mean loss"),
        ("exact_match", "is measured by asking the model: add validation.examples: 50"),
        ("jsd", "jsd is a loss term without a weight: give it one"),
        ("latency_p95_s", "latency_p95_s is not measured while a model trains"),
        ("win_rate", "win_rate is not measured while a model trains"),
        ("accuracy.label", "add evaluate.fields: {label: ...}"),
        ("agreement", "needs the teacher's own answers: label.completions: teacher"),
    ],
)
def test_a_metric_that_a_training_cannot_stop_by_is_refused(tmp_path, metric, said):
    asked = [] if "examples" in said else ["train.validation={examples: 5}"]
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, *asked, f"train.early_stopping={{metric: {metric}}}")
    assert "train.early_stopping.metric" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize("metric", ["loss", "forward_kl", "cross_entropy", "perplexity"])
def test_a_loss_needs_nobody_to_be_asked(tmp_path, metric):
    recipe = load(tmp_path, f"train.early_stopping={{metric: {metric}}}")
    assert recipe.train.early_stopping.metric == metric


@pytest.mark.parametrize("metric", ["exact_match", "top1_agreement", "kl_to_teacher"])
def test_what_is_examined_can_stop_a_training(tmp_path, metric):
    asked = ("train.validation={examples: 5}", f"train.early_stopping={{metric: {metric}}}")
    assert load(tmp_path, *asked).train.early_stopping.metric == metric


def test_a_teacher_in_training_cannot_be_compared_with_itself(tmp_path):
    with pytest.raises(RecipeError, match=r"finetune\.validation\.metrics\.1: top1_agreement comp"):
        load(tmp_path, "finetune.validation={examples: 5, metrics: [exact_match, top1_agreement]}")


def test_without_stored_targets_no_token_is_compared(tmp_path):
    with pytest.raises(RecipeError, match=r"needs the teacher.s distribution: label\.targets"):
        load(
            tmp_path,
            "label.targets=none",
            "train.weights={cross_entropy: 1.0}",
            "train.validation={examples: 5, metrics: [top1_agreement]}",
        )


def test_validation_without_a_validation_part_is_refused(tmp_path):
    parts = "prepare.split.parts={holdout: 0.2, labelled: rest}"
    with pytest.raises(RecipeError, match=r"train\.validation: needs a validation part"):
        load(tmp_path, parts, "train.validation={every_steps: 5}")


def test_names_against_the_teacher_are_known_as_such():
    assert all(map(is_of_teacher, ("agreement", "agreement.verdict", "jsd", "kl_to_teacher")))
    assert not any(map(is_of_teacher, ("exact_match", "cross_entropy", "accuracy.verdict")))
    assert is_watched("macro_f1.verdict")
    assert not is_watched("harness.mmlu.acc")
    assert not is_watched("bundle_bytes")
