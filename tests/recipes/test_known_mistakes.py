"""What is often planned for accounting-qa and neurons and goes wrong is told by name."""

from __future__ import annotations

import re

import pytest

from stillhouse.core.errors import ModelError, RecipeError
from stillhouse.recipes.cautions import cautions
from stillhouse.recipes.facts import facts_for, refuse_known_bad
from stillhouse.recipes.load import load_recipe

KEYS = (
    "prepare.steps.5.engine={api: {kind: gemini, model: g, key_env: [A, B],"
    " limits: {per_key: true}}}"
)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("accounting-qa", "train.seed=0", "kd_temperature: 0.7 is below 1, which sharpens"),
        ("accounting-qa", "prepare.clean=ascii", r"so also \$ % / ="),
        ("accounting-qa", KEYS, "2 keys multiply the limits"),
        ("neurons", "train.kd_temperature=20", "20 is above 10"),
        ("songs", "train.seed=0", "probabilities of verdict are learned with the rest of each"),
        ("neurons", "student={hub: Qwen/Qwen2.5-3B-Instruct}", "research and evaluation only"),
    ],
)
def test_a_plan_that_may_go_wrong_is_told_what(name, change, said):
    told = cautions(load_recipe(name, [change]).recipe)
    assert [one for one in told if re.search(said, one)], told


def test_the_full_recipes_warn_of_nothing_else():
    assert len(cautions(load_recipe("accounting-qa").recipe)) == 1
    assert cautions(load_recipe("neurons").recipe) == ()
    assert cautions(load_recipe("accounting-qa", profile="tiny").recipe) != ()
    assert cautions(load_recipe("neurons", profile="tiny").recipe) == ()


def test_a_model_that_does_not_exist_is_refused_with_one_that_does():
    with pytest.raises(ModelError, match=r"no model 'Qwen/Qwen2\.5-4B'") as error:
        refuse_known_bad("Qwen/Qwen2.5-4B")
    assert "Qwen/Qwen3-4B" in error.value.hint


def test_a_student_of_another_tokenizer_is_not_compared_token_by_token():
    change = "student={hub: meta-llama/Llama-3.2-3B-Instruct}"
    with pytest.raises(RecipeError, match="which a vocabulary cut to length does not mend"):
        load_recipe("neurons", [change])


def test_all_logits_of_a_large_vocabulary_are_not_stored():
    label = load_recipe("neurons", ["label.targets=full"]).recipe.label
    rows = facts_for("Qwen/Qwen2.5-7B-Instruct").shape.vocabulary_rows
    with pytest.raises(RecipeError, match="152,064: a shard would not fit"):
        label.token_store(rows)
