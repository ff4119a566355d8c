"""Who reads by whose words follows from the recipe, and what needs one vocabulary is refused."""

from __future__ import annotations

import json

import pytest

from stillhouse.core.errors import RecipeError
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.instance_config import Content
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.plan import build_plan
from stillhouse.recipes.readers import (
    Reader,
    ReaderContent,
    Readers,
    known_difference,
    readers_of,
)
from stillhouse.recipes.schema import Recipe

SHARED = Reader("teacher", "teacher")
PLAIN = {
    "name": "two",
    "network": "hub",
    "teacher": {"hub": "Qwen/Qwen3-8B", "thinking": "off"},
    "student": {"hub": "unsloth/gpt-oss-20b-BF16"},
    "collect": {"source": {"file": "rows.csv"}},
    "prepare": {
        "user": "{text}",
        "answer": "label",
        "max_tokens": 512,
        "split": {"parts": {"labelled": "rest", "holdout": 0.1}},
    },
    "label": {"parts": ["labelled"], "targets": "classes", "classes": ["a", "b"]},
    "train": {
        "parts": ["labelled"],
        "length": {"steps": 5},
        "weights": {"class_kl": 0.7, "cross_entropy": 0.3},
    },
    "evaluate": {"metrics": ["agreement", "class_kl_to_teacher", "bits_per_byte"]},
    "gate": {
        "rules": [
            {"metric": "class_kl_to_teacher", "at_most": 1.0},
            {"metric": "bits_per_byte", "against": "teacher", "at_most": 1.0},
            {"metric": "cross_entropy", "at_most": 5.0},
        ]
    },
}


@pytest.fixture
def load(tmp_path):
    """`load(section={...})` gives the recipe with those sections in the place of its own."""

    def run(**sections):
        path = tmp_path / "recipe.yaml"
        path.write_text(json.dumps(PLAIN | sections))
        return load_recipe(str(path)).recipe

    return run


def small(**more):
    return {"scratch": {"model_type": "llama", **more}}


OWN = {"tokenizer": {"vocab_size": 300}}


@pytest.mark.parametrize(
    ("teacher", "student", "said"),
    [
        ({"hub": "Qwen/Qwen3-8B"}, {"hub": "Qwen/Qwen3-4B"}, ""),
        ({"hub": "Qwen/Qwen3-8B"}, {"hub": "acme/own"}, ""),
        ({"hub": "Qwen/Qwen3-8B"}, small(), ""),
        ({"hub": "Qwen/Qwen3-8B", "thinking": "off"}, {"hub": "Qwen/Qwen3-4B"}, ""),
        ({"api": {"kind": "ollama", "model": "m"}}, small(**OWN), ""),
        ({"hub": "Qwen/Qwen3-8B"}, small(**OWN), "student.scratch.tokenizer is learned"),
        (small(**OWN), {"path": "x"}, "the teacher learns a tokenizer, and the student has one"),
        (
            {"hub": "Qwen/Qwen3-8B"},
            {"hub": "openai/gpt-oss-20b"},
            "the tokenizer of Qwen/Qwen3-8B is qwen3, of openai/gpt-oss-20b o200k_harmony",
        ),
        (
            {"path": "a"},
            {"path": "b", "template": {"user": "Q {content}"}},
            "student.template is not teacher.template",
        ),
    ],
)
def test_a_recipe_says_itself_whether_there_are_two_readers(teacher, student, said):
    plain = PLAIN | {"teacher": teacher, "student": student}
    found = known_difference(Recipe.model_validate_json(json.dumps(plain)))

    assert found.startswith(said)
    assert bool(found) == bool(said)


@pytest.mark.parametrize(
    ("student", "reader"),
    [
        ({"path": "b"}, Reader("student", "student")),
        (small(**OWN), Reader("student", "student")),
        # Without a tokenizer of its own only its template can differ.
        (small() | {"template": {"user": "Q {content}"}}, Reader("teacher", "student")),
    ],
)
def test_a_student_that_reads_otherwise_brings_its_own_words(load, student, reader):
    recipe = load(student=student, teacher={"path": "a"})

    assert readers_of(recipe, differ=True) == Readers(reader, SHARED)
    assert readers_of(recipe, differ=False) == Readers(SHARED)


def test_one_reader_names_every_artifact_as_before_and_two_differ_in_what_they_read(load):
    compute = ResolvedCompute("cpu", "float32", 1)
    recipe = load(teacher={"path": "a"}, student={"path": "b"})

    def ids(content):
        plan = build_plan(recipe, content, compute)
        return {one.key: one.artifact_id for one in plan.instances}, plan["prepare"].config

    one, config = ids(Content("rows", "t", "s", "digest", 100))
    two, both = ids(Content("rows", "t", "s", "digest", 100, ReaderContent("another", 80)))
    other, _ = ids(Content("rows", "t", "s", "digest", 100, ReaderContent("a third", 80)))

    assert "teacher" not in config
    assert both["teacher"]["tokenizer"] == "another"
    assert {key for key in one if one[key] == two[key]} == {"collect"}
    assert {key for key in two if two[key] == other[key]} == {"collect"}


def test_what_is_of_whole_answers_and_of_text_is_let_pass(load):
    text = {**PLAIN["train"], "weights": {"cross_entropy": 1.0, "forward_kl": 0.0}}

    assert known_difference(load())
    bare = load(train=text, label={"parts": ["labelled"]}, evaluate={}, gate=None)
    assert bare.label.targets == "none"


@pytest.mark.parametrize(
    ("sections", "lines"),
    [
        (
            {"label": {"parts": ["labelled"], "targets": "top_k"},
             "train": {**PLAIN["train"], "weights": {"forward_kl": 0.5, "cross_entropy": 0.5}}},
            ["train.weights.forward_kl: compares token with token"],
        ),
        (
            {"train": {**PLAIN["train"], "mode": "live",
                       "weights": {"reverse_kl": 1.0, "cross_entropy": 0.0, "forward_kl": 0.0}},
             "label": {"parts": ["labelled"], "targets": "none"}},
            ["train.weights.reverse_kl: compares token with token"],
        ),
        (
            {"label": {"parts": ["labelled"], "targets": "top_k"},
             "train": {**PLAIN["train"], "weights": {"forward_kl": 0.0, "cross_entropy": 1.0}}},
            ["label.targets: top_k, of the teacher's tokens"],
        ),
        (
            {"evaluate": {"metrics": ["kl_to_teacher", "agreement"]}},
            ["evaluate.metrics.0: kl_to_teacher compares distributions over one vocabulary"],
        ),
        (
            {"gate": {"rules": [{"metric": "top1_agreement", "at_least": 0.5},
                                {"metric": "perplexity", "against": "teacher", "at_most": 2.0}]}},
            ["gate.rules.0: top1_agreement compares distributions", "gate.rules.1: perplexity is"],
        ),
    ],
)  # fmt: skip
def test_what_needs_one_vocabulary_is_refused_by_name_with_the_ways_that_work(
    load, sections, lines
):
    measured = {"evaluate": {}, "gate": None}
    with pytest.raises(RecipeError) as caught:
        load(**(measured | sections))

    said = caught.value.message
    assert "the tokenizer of Qwen/Qwen3-8B is qwen3" in said
    for line in lines:
        assert line in said
    assert len(said.splitlines()) == len(lines)
