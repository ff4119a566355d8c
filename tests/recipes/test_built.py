"""What a recipe asks for in vain is named, and nothing else is."""

from __future__ import annotations

import json

import pytest

from stillhouse.recipes.built import METRICS, NotBuilt, not_built
from stillhouse.recipes.schema import Recipe

PLAIN = {
    "name": "plain",
    "network": "hub",
    "teacher": {"hub": "Qwen/Qwen3-8B"},
    "student": {"hub": "Qwen/Qwen3-4B"},
    "collect": {"source": {"file": "rows.csv"}},
    "prepare": {
        "user": "{text}",
        "answer": "label",
        "split": {"parts": {"labelled": "rest", "validation": 0.1, "holdout": 0.1}},
    },
    "finetune": {"parts": ["labelled"], "length": {"steps": 5}},
    "label": {"parts": ["labelled"], "completions": "teacher", "top_k": 8},
    "train": {
        "parts": ["labelled"],
        "length": {"steps": 5},
        "weights": {"forward_kl": 0.5, "cross_entropy": 0.5},
        "lora": {"rank": 4},
        "twin": {"parts": ["labelled"]},
    },
    "evaluate": {"metrics": [*sorted(METRICS), "field_accuracy.verdict"]},
    "gate": {
        "rules": [
            {"metric": "kl_to_teacher", "against": "baseline", "at_most": 0.0},
            {"metric": "field_accuracy.verdict", "against": "teacher", "at_least": -0.1},
            {"metric": "exact_match", "at_least": 0.5},
        ]
    },
    "export": {"formats": ["merged", "adapter"]},
    "register": {"name": "plain"},
}


def recipe(**changes: object) -> Recipe:
    """The plain recipe with dotted keys set; `__` stands for the dot."""
    data = json.loads(json.dumps(PLAIN))
    for dotted, value in changes.items():
        *way, last = dotted.split("__")
        place = data
        for key in way:
            place = place.setdefault(key, {})
        if value is None:
            place.pop(last)
        else:
            place[last] = value
    return Recipe.model_validate_json(json.dumps(data))


def test_a_plain_recipe_asks_for_nothing_in_vain():
    assert not_built(recipe()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"collect__source": {"dataset": {"id": "acme/rows"}}},
        {"collect__source": {"sample_rows": {"task": "songs", "rows": 10}}},
        {"teacher": {"path": "models/a"}, "student": {"path": "models/b"}},
        {"student": {"scratch": {"model_type": "llama"}}},
        {"student": {"scratch": {"model_type": "llama", "tokenizer": {"vocab_size": 300}}}},
        {"student__hub": "openai/gpt-oss-20b"},
        {"student__template": {"user": "Q: {content}"}},
        {"label__targets": "none", "train__weights": {"forward_kl": 0.0, "cross_entropy": 1.0}},
        {"label__completions": "gold"},
        {"label__targets": "classes", "label__classes": ["x", "y"]},
        {"label__reject": ["bad"], "label__temperature": 0.7, "label__samples": 3},
        {"teacher": {"api": {"kind": "anthropic", "model": "m"}}},
        {"prepare__steps": [{"name": "pair_with", "file": "c.jsonl", "as": "context"}]},
        {"train__lora": None},
        {"train__mode": "live"},
        {"train__mode": "base"},
        {"teacher__quantization": "int8", "finetune__lora": {"rank": 4}},
        {"student__quantization": "nf4"},
        {"export__formats": ["merged", "int8"]},
        {"student": {"layers_of_teacher": [0, 2]}},
        {"finetune": None, "gate": None, "register": None},
        {"student": {"hub": "acme/own-model"}},
        {"teacher__template": {"user": "Q: {content}"}},
        {"domains": ["a", "b"], "prepare__domain_field": "domain"},
        {"gate__rules": [{"metric": "agreement", "against": "production", "at_least": 0.1}]},
        {"serve": {"share": 0.1}, "monitor": {"metrics": ["entropy"]}},
    ],
)
def test_what_is_built_is_not_named(changes):
    assert not_built(recipe(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "key", "value"),
    [
        ({"student": {"api": {"kind": "openai", "model": "m"}}}, "student.api", "openai m"),
        ({"train__mode": "on_policy"}, "train.mode", "on_policy"),
        ({"evaluate__metrics": ["embedding_distance"]}, "evaluate.metrics", "embedding_distance"),
        ({"gate__rules": [{"metric": "embedding_distance", "at_least": 0.1}]}, "gate.rules.metric",
         "embedding_distance"),
    ],
)  # fmt: skip
def test_what_is_not_built_is_named_once_with_key_and_value(changes, key, value):
    found = not_built(recipe(**changes))
    assert [(one.key, one.value) for one in found] == [(key, value)]
    assert found[0].what
    assert str(found[0]) == f"{key}: {value}: {found[0].what}"


def test_a_finding_never_changes():
    finding = NotBuilt("a.b", "c", "d")
    with pytest.raises(AttributeError):
        finding.key = "x"  # type: ignore[misc]
