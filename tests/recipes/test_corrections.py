"""What a recipe says of its document is read from the recipe, and its reasons are true."""

from __future__ import annotations

import re

import pytest

from stillhouse.core.errors import ModelError, RecipeError
from stillhouse.recipes.built_in import library_names
from stillhouse.recipes.cautions import cautions
from stillhouse.recipes.corrections import corrected, taken_back, value_at
from stillhouse.recipes.facts import facts_for, refuse_known_bad
from stillhouse.recipes.load import load_recipe

CORRECTED = [name for name in library_names() if load_recipe(name).recipe.corrections]


def recipe_of(name, *overrides):
    return load_recipe(name, overrides).recipe


def why(name, key, document):
    found = [
        one for one in recipe_of(name).corrections if (one.key, one.document) == (key, document)
    ]
    return found[0].why


def test_the_five_systems_tell_what_they_correct():
    assert set(CORRECTED) == {"accounting-qa", "neurons", "prompt-transform", "songs", "songs-sft"}


@pytest.mark.parametrize("name", CORRECTED)
def test_every_correction_holds_as_the_recipe_ships(name):
    recipe = recipe_of(name)
    assert list(taken_back(recipe)) == []
    for one, said in zip(recipe.corrections, corrected(recipe), strict=True):
        assert value_at(recipe, one.key) != one.document
        assert said.startswith(f"{one.key}: ")
        assert said.endswith(one.why)


@pytest.mark.parametrize("name", CORRECTED)
def test_a_model_that_a_correction_calls_missing_is_known_to_be_missing(name):
    for one in recipe_of(name).corrections:
        if one.why == "there is no such model":
            with pytest.raises(ModelError):
                refuse_known_bad(one.document)


def test_figures_in_reasons_are_those_of_the_models():
    of_20b = facts_for("unsloth/gpt-oss-20b-BF16").parameters
    for name, key, document in (
        ("songs", "train.lora.rank", None),
        ("songs-sft", "compute.dtype", "float32"),
    ):
        assert f"{of_20b * 4 / 1e9:.1f} GB" in why(name, key, document)
    assert f"{of_20b * 16 / 1e9:.0f} GB" in why("songs", "train.lora.rank", None)
    rows = facts_for("Qwen/Qwen2.5-7B-Instruct").shape.vocabulary_rows
    said = why("neurons", "label.targets", "full")
    assert f"{rows:,} logits are {rows * 2 / 1e3:.0f} KB" in said
    num_rows = recipe_of("neurons").collect.planned_rows
    most = recipe_of("neurons").label.max_new_tokens
    assert f"{num_rows * most * rows * 2 / 1e9:.1f} GB in all" in said
    steps = recipe_of("songs").collect.planned_rows // 10
    assert f"in {steps} steps" in why("songs", "finetune.optimizer.galore.update_gap", 400)
    assert facts_for("Qwen/Qwen2.5-3B-Instruct").terms.weights == "ask"


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("songs", "prepare.max_tokens=512", "max_tokens: 512, as its document has it: lyrics and"),
        ("songs", "train.lora=null", r"train\.lora\.rank: none, as its document has it: 20\.9"),
        ("songs", "finetune.optimizer.galore.update_gap=400", "400, as its document has it"),
        ("songs-sft", "compute.dtype=float32", r"float32, as its .* 83\.7 GB in it, not 38"),
        ("accounting-qa", "prepare.clean.normalize=ascii", "ascii, as its document has it"),
        ("accounting-qa", "compute.device=cuda:3", "has no fourth card"),
        ("neurons", "student={hub: Qwen/Qwen2.5-3B-Instruct}", "its licence allows research"),
    ],
)
def test_whoever_writes_the_documents_value_back_is_told_why_not(name, change, said):
    told = cautions(recipe_of(name, change))
    assert [one for one in told if re.search(said, one)], told


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("songs", "evaluate.fields.score.high=1.0", r"within is 5, which every answer from 0 to 1"),
        ("songs", "compute.dtype=float16", "compute.dtype"),
        ("songs", "label.targets=full", "tokenizer"),
        ("neurons", "student={hub: meta-llama/Llama-3.2-3B-Instruct}", "cut to length does not"),
    ],
)
def test_what_could_not_work_at_all_is_refused_by_name(name, change, said):
    with pytest.raises(RecipeError, match=said):
        recipe_of(name, change)


def test_a_correction_of_a_key_that_no_recipe_has_is_refused():
    wrong = "corrections=[{key: train.kd_temprature, document: 0.7, why: it sharpens}]"
    with pytest.raises(RecipeError, match=r"corrections\.0\.key: .*there is no kd_temprature"):
        recipe_of("neurons", wrong)


def test_a_digit_that_is_no_number_is_no_place_of_a_list():
    recipe = load_recipe("songs", profile="tiny").recipe
    with pytest.raises(KeyError):
        value_at(recipe, "gate.rules.²")


def test_a_correction_names_no_artifact_anew():
    from stillhouse.recipes.instance_config import Configs, Content

    def named(*overrides):
        return Configs(recipe_of("neurons", *overrides), Content("", "", "", ""), {}).collect()

    assert named() == named("corrections=[]", "collect.planned_rows=7")
