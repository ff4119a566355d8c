"""Facts about models agree with themselves, and ids that do not exist are refused with a mend."""

from __future__ import annotations

import re

import pytest

from stillhouse.core.errors import ModelError
from stillhouse.recipes.facts import (
    facts_for,
    known_models,
    nearest_ids,
    refuse_known_bad,
    service_terms,
)

MODELS = known_models()


@pytest.mark.parametrize("facts", MODELS, ids=lambda facts: facts.id)
def test_the_closed_formula_counts_the_stated_parameters(facts):
    # A mistyped size of any matrix changes the count by far more than one.
    assert facts.shape.parameters() == facts.parameters


@pytest.mark.parametrize(
    ("model_id", "parameters"),
    [
        ("openai-community/gpt2-large", 774_030_080),
        ("distilbert/distilgpt2", 81_912_576),
        ("Qwen/Qwen3-8B", 8_190_735_360),
        ("unsloth/gpt-oss-20b-BF16", 20_914_757_184),
    ],
)
def test_published_counts_are_those_of_the_files(model_id, parameters):
    assert facts_for(model_id).parameters == parameters


def test_every_revision_is_a_commit_and_says_how_it_is_known():
    for facts in MODELS:
        assert (facts.revision is None) == (facts.revision_source is None), facts.id
        if facts.revision:
            assert re.fullmatch(r"[0-9a-f]{40}", facts.revision), facts.id
            assert facts.revision in facts.source


def test_every_licence_says_what_it_means_for_a_student():
    for facts in MODELS:
        assert facts.terms.sentence.endswith(".")
        assert facts.terms.url.startswith("https://")
    assert facts_for("Qwen/Qwen3-8B").terms.outputs == "yes"
    assert facts_for("Qwen/Qwen2.5-3B-Instruct").terms.outputs == "ask"
    assert facts_for("meta-llama/Llama-3.2-3B-Instruct").terms.outputs == "named"


@pytest.mark.parametrize("kind", ["openai", "anthropic", "bedrock", "gemini"])
def test_every_service_asks_before_its_answers_train_a_model(kind):
    assert service_terms(kind).outputs == "ask"


def test_equal_rows_do_not_make_equal_tokenizers_and_padding_does_not_part_them():
    teacher = facts_for("Qwen/Qwen2.5-7B-Instruct").shape
    student = facts_for("Qwen/Qwen2.5-1.5B-Instruct").shape
    other = facts_for("Qwen/Qwen3-4B").shape
    assert teacher.vocabulary_rows - student.vocabulary_rows == 128
    assert teacher.tokenizer == student.tokenizer
    assert other.vocabulary_rows == student.vocabulary_rows
    assert other.tokenizer != student.tokenizer


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("Qwen/Qwen2.5-8B-Instruct", "Qwen/Qwen3-8B"),
        ("Qwen/Qwen2.5-8B", "Qwen/Qwen3-8B"),
        ("Qwen3-8B-Instruct", "Qwen/Qwen3-8B"),
        ("Qwen/Qwen3-8B-Instruct", "Qwen/Qwen3-8B"),
        ("qwen/qwen3-8b-instruct", "Qwen/Qwen3-8B"),
        ("Qwen/Qwen3-4B-Instruct", "Qwen/Qwen3-4B-Instruct-2507"),
        (
            "unsloth/Qwen3-4B-Instruct-unsloth-bnb-4bit",
            "unsloth/Qwen3-4B-Instruct-2507-unsloth-bnb-4bit",
        ),
        ("Qwen/Qwen2.5-4B", "Qwen/Qwen3-4B"),
        ("Qwen/Qwen2.5-4B-Instruct", "Qwen/Qwen3-4B-Instruct-2507"),
        ("qwen3:4b", "Qwen/Qwen3-4B"),
        ("qwen3:4b-instruct", "Qwen/Qwen3-4B-Instruct-2507"),
        ("gpt-oss:20b", "openai/gpt-oss-20b"),
        ("qwen3:4b-q8_0", "Qwen/Qwen3-4B"),
    ],
)
def test_an_id_that_does_not_exist_is_refused_with_the_right_one(wrong, right):
    with pytest.raises(ModelError, match=re.escape(wrong)) as refused:
        refuse_known_bad(wrong)
    assert f"use {right}" in refused.value.hint
    assert facts_for(right)


def test_a_tag_that_is_like_nothing_listed_is_refused_too():
    with pytest.raises(ModelError, match="Ollama") as refused:
        refuse_known_bad("some-model:latest")
    assert "owner/name" in refused.value.hint


@pytest.mark.parametrize("facts", MODELS, ids=lambda facts: facts.id)
def test_a_listed_id_is_never_refused(facts):
    refuse_known_bad(facts.id)


@pytest.mark.parametrize("model_id", ["someone/Qwen3-8B-Instruct", "acme/own-model", "gpt2"])
def test_an_unknown_id_passes(model_id):
    refuse_known_bad(model_id)


def test_the_nearest_ids_come_best_first():
    assert nearest_ids("Qwen/Qwen3-4b-instruct-2705")[0] == "Qwen/Qwen3-4B-Instruct-2507"
    assert nearest_ids("openai/gpt-oss-20") == ["openai/gpt-oss-20b", "unsloth/gpt-oss-20b-BF16"]
    assert nearest_ids("zzz") == []


def test_facts_of_an_id_are_found_whatever_its_case():
    assert facts_for("qwen/QWEN3-8b") is facts_for("Qwen/Qwen3-8B")
    assert facts_for("acme/own-model") is None
