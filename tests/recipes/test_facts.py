"""Facts about models agree with themselves, and ids that do not exist are refused with a mend."""

from __future__ import annotations

import re
import subprocess
import sys

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


def test_the_formula_agrees_with_models_built_by_transformers():
    # Given one tiny model of each architecture, when transformers builds it, the counts agree.
    pytest.importorskip("transformers")
    code = (
        "import torch\n"
        "from transformers import AutoConfig, AutoModelForCausalLM\n"
        "from stillhouse.recipes.facts import Shape\n"
        "common = dict(hidden=32, layers=2, heads=4, kv_heads=2, head_dim=16, intermediate=48,\n"
        "              vocabulary_rows=100, tokenizer='t', context=64, tied_embeddings=False)\n"
        "for name in ('llama', 'qwen2', 'qwen3', 'gpt_oss', 'gpt2'):\n"
        "    sizes = dict(common)\n"
        "    if name == 'gpt_oss': sizes['experts'] = 3\n"
        "    if name == 'qwen2': sizes['head_dim'] = 8\n"
        "    if name == 'gpt2': sizes |= dict(kv_heads=4, head_dim=8, tied_embeddings=True)\n"
        "    keys = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4,\n"
        "                num_key_value_heads=2, head_dim=16, intermediate_size=48,\n"
        "                vocab_size=100, tie_word_embeddings=False, num_local_experts=3,\n"
        "                pad_token_id=0, bos_token_id=0, eos_token_id=0)\n"
        "    if name == 'qwen2': del keys['head_dim']\n"
        "    if name == 'gpt2': keys = dict(n_embd=32, n_layer=2, n_head=4, n_inner=48,\n"
        "                                   vocab_size=100, n_positions=64)\n"
        "    with torch.device('meta'):\n"
        "        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **keys))\n"
        "    shape = Shape(architecture=name, **sizes)\n"
        "    assert shape.parameters() == model.num_parameters(), name\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


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
