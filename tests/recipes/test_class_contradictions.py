"""What a recipe says of classes, votes and hard labels is refused where it cannot hold together."""

import pytest
from tests.recipes.test_built import PLAIN, recipe

from stillhouse.recipes.class_contradictions import find_class_contradictions
from stillhouse.recipes.labels import Label
from stillhouse.recipes.training import LossWeights, Train

CLASSES = {"label__targets": "classes", "label__classes": ["a", "b"]}
BY_CLASS = CLASSES | {"train__weights": {"class_kl": 0.7, "cross_entropy": 0.3}}


def keys(**changes):
    return [problem.key for problem in find_class_contradictions(recipe(**changes))]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        BY_CLASS,
        BY_CLASS | {"label__targets": "votes", "prepare__votes": "votes"},
        BY_CLASS | {"prepare__answer_format": "json", "label__class_field": "verdict"},
        {"label__classes": ["a", "b"]},
        {"label__completions": "gold"},
    ],
)
def test_what_holds_together_is_let_pass(changes):
    assert keys(**changes) == []


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        (BY_CLASS | {"label__targets": "votes"}, "label.targets"),
        ({"prepare__votes": "votes"}, "prepare.votes"),
        (BY_CLASS | {"label__classes": []}, "label.classes"),
        ({"label__class_field": "verdict"}, "label.class_field"),
        (BY_CLASS | {"label__class_field": "verdict"}, "label.class_field"),
        (BY_CLASS | {"prepare__answer_format": "json"}, "label.class_field"),
        (BY_CLASS | {"label__samples": 2}, "label.samples"),
        (BY_CLASS | {"label__consistency": {"repeats": 3}}, "label.consistency"),
        (CLASSES, "label.targets"),
        ({"train__weights": {"class_kl": 1.0}, "label__targets": "top_k"},
         "train.weights.class_kl"),
        (CLASSES | {"train__weights": {"class_kl": 1.0, "jsd": 1.0}}, "train.weights.class_kl"),
        (BY_CLASS | {"train__mode": "live"}, "train.mode"),
    ],
)  # fmt: skip
def test_what_does_not_is_named_by_its_key(changes, key):
    assert keys(**changes) == [key]


def test_gold_alone_has_nothing_to_say_of_hidden_answers():
    parts = {"labelled": "rest", "unlabelled": 0.3, "holdout": 0.1}
    changes = {"prepare__split": {"parts": parts}, "label__completions": "gold",
               "train__parts": ["labelled", "unlabelled"]}  # fmt: skip

    assert keys(**changes) == ["label.completions"]
    assert keys(**changes | BY_CLASS) == []


@pytest.mark.parametrize(
    ("classes", "said"),
    [(["a"], "only class"), (["a", "b", "a"], "named twice"), (["a", " "], "without a name"),
     (["true", True], "named twice")],
)  # fmt: skip
def test_classes_that_are_none_are_refused(classes, said):
    with pytest.raises(ValueError, match=said):
        Label(classes=tuple(classes))


def test_a_recipe_that_learns_classes_stores_them():
    train = Train(length={"steps": 1}, weights=LossWeights(class_kl=1.0))

    assert Label(classes=("a", "b")).settled(train).targets == "classes"
    assert not train.weights.needs_teacher


def test_the_default_policy_keeps_gold_text_and_asks_for_the_rest():
    assert Label().completions == "mix"
    assert "completions" in PLAIN["label"]
