"""Tiny teacher and student folders of four families, and the recipe that distils one family."""

from __future__ import annotations

import json
from pathlib import Path

from ruamel.yaml import YAML

from stillhouse.models.scratch import build_scratch, save_model
from stillhouse.recipes.models import Scratch
from stillhouse.recipes.rows import SampleRows
from stillhouse.tasks.sample_rows import sample_rows
from stillhouse.tokens.train import train_tokenizer

CONTEXT = 192
ROWS = {"task": "tickets", "rows": 60}
TEACHER_SIZE, STUDENT_SIZE = 32, 16

_GROUPED = {
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": CONTEXT,
}
FAMILIES = {
    "qwen3": {**_GROUPED, "tie_word_embeddings": True},
    "llama": _GROUPED,
    "gpt2": {"n_layer": 2, "n_head": 2, "n_positions": CONTEXT},
    "gpt_oss": {
        **_GROUPED,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": CONTEXT // 4,
            "rope_theta": 10000.0,
        },
    },
}
PLAIN_TEMPLATE = {"user": "Message: {content}\n", "assistant": "Annotation: {content}"}


def config_of(family: str, size: int) -> dict[str, object]:
    """The family's configuration with that many hidden units."""
    if family == "gpt2":
        return {**FAMILIES[family], "n_embd": size}
    sizes = {"hidden_size": size, "intermediate_size": 2 * size, "head_dim": size // 2}
    return {**FAMILIES[family], **sizes}


def write_tokenizer(folder: Path, *, has_chat_template: bool = True) -> Path:
    """A tokenizer learned from the tickets that the recipes below read."""
    texts = (str(value) for row in sample_rows(SampleRows(**ROWS)) for value in row.fields.values())
    train_tokenizer(texts, 300, folder, context=CONTEXT)
    if not has_chat_template:
        path = folder / "tokenizer_config.json"
        plain = json.loads(path.read_text())
        del plain["chat_template"]
        path.write_text(json.dumps(plain))
    return folder


def write_models(family: str, root: Path) -> None:
    """The folders `teacher` and `student` below `root`, as plain transformers would save them."""
    from stillhouse.tokens.tokenizer import load_tokenizer

    source = write_tokenizer(root / "tokenizer", has_chat_template=family != "gpt2")
    tokenizer = load_tokenizer(source)
    for seed, (name, size) in enumerate((("teacher", TEACHER_SIZE), ("student", STUDENT_SIZE))):
        scratch = Scratch(model_type=family, config=config_of(family, size))
        save_model(build_scratch(scratch, tokenizer, seed=seed), source, root / name)


def write_recipe(family: str, root: Path, *, lora: bool, scratch: bool = False) -> Path:
    """A recipe of few steps beside the models; with `scratch` it needs no folder."""
    recipe = _recipe(family)
    if scratch:
        for name, size in (("teacher", TEACHER_SIZE), ("student", STUDENT_SIZE)):
            recipe[name] = {
                "scratch": {"model_type": family, "config": config_of(family, size), "seed": size}
            }
        recipe["teacher"]["scratch"]["tokenizer"] = {"vocab_size": 300}
    if lora:
        recipe["finetune"]["lora"] = recipe["train"]["lora"] = {"rank": 4, "alpha": 8.0}
        recipe["export"] = {"formats": ["merged", "adapter"]}
    path = root / "recipe.yaml"
    YAML().dump(recipe, path)
    return path


def _recipe(family: str) -> dict[str, dict]:
    training = {
        "length": {"steps": 8, "batch_size": 8, "checkpoint_every": 8},
        "optimizer": {"learning_rate": 2e-2},
    }
    teacher: dict[str, object] = {"path": "teacher"}
    if family == "gpt2":
        teacher["template"] = PLAIN_TEMPLATE
    return {
        "name": family.replace("_", "-"),
        "network": "none",
        "compute": {"device": "cpu", "threads": 1},
        "teacher": teacher,
        "student": {"path": "student"},
        "collect": {"source": {"sample_rows": ROWS}},
        "prepare": {
            "user": "{message}",
            "answer": "annotation",
            "answer_format": "json",
            "split": {"parts": {"holdout": 8, "labelled": 24, "teacher": "rest"}},
        },
        "finetune": json.loads(json.dumps(training)),
        "label": {"max_new_tokens": 16, "top_k": 16, "parts": ["labelled"]},
        "train": {**json.loads(json.dumps(training)), "parts": ["labelled"]},
        "evaluate": {"draws": 100},
    }
