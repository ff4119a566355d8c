"""Stages called one by one, each with the request that a run would send it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stillhouse.core.protocols import no_progress
from stillhouse.runner.opening import open_recipe
from stillhouse.runner.resolve import resolve
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.corpus import Corpus, open_corpus
from stillhouse.stages.table import stage_function

SMALL = {
    "model_type": "qwen3",
    "config": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "max_position_embeddings": 192,
    },
}
TRAINING = {"length": {"steps": 2, "batch_size": 4}}


@dataclass(frozen=True)
class Prepared:
    """What `collect` and `prepare` made of a recipe."""

    corpus: Corpus
    rows: dict
    examples: dict


@pytest.fixture
def write_recipe(tmp_path):
    """`write_recipe(collect=..., prepare=...)` gives the path of a recipe beside the rows."""

    def write(**sections):
        plain = {
            "name": "small",
            "compute": {"device": "cpu", "threads": 1},
            "teacher": {"scratch": {**SMALL, "tokenizer": {"vocab_size": 300}}},
            "student": {"scratch": SMALL},
            "finetune": TRAINING,
            "label": {"parts": ["labelled"]},
            "train": {**TRAINING, "parts": ["labelled"]},
            **sections,
        }
        path = tmp_path / "recipe.yaml"
        YAML().dump(plain, path)
        return path

    return write


@pytest.fixture
def run_stage(tmp_path):
    """`run_stage(resolved, name, inputs)` runs one instance; gives its folder and result."""

    def run(resolved, name, inputs, access=None):
        instance = resolved.plan[name]
        out, scratch = tmp_path / "made" / name, tmp_path / "scratch" / name
        for folder in (out, scratch):
            folder.mkdir(parents=True)
        request = StageRequest(
            stage=instance.stage,
            variant=instance.variant,
            artifact_id=instance.artifact_id,
            config=instance.config,
            inputs=inputs,
            out=out,
            scratch=scratch,
            locations=resolved.locations,
            access=access or {},
        )
        return out, stage_function(instance.stage, instance.config)(request, no_progress)

    return run


@pytest.fixture
def prepare(run_stage):
    """`prepare(recipe)` runs `collect` and `prepare` of a recipe file."""

    def run(recipe: Path) -> Prepared:
        resolved = resolve(*open_recipe(str(recipe)))
        rows, collected = run_stage(resolved, "collect", {})
        examples, made = run_stage(resolved, "prepare", {"rows": rows})
        return Prepared(open_corpus(examples), collected.summary, made.summary)

    return run
