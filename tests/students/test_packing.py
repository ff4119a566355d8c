"""Packed rows give the gradient of padded ones, whatever the model and however it is run."""

from contextlib import nullcontext

import pytest
import torch
from tiny_students import (
    BOTH,
    CONFIGS,
    ONE_THREAD,
    build,
    data_of,
    distance,
    draw_examples,
    gradients_of,
    quick,
)
from transformers import CohereConfig, Gemma2Config, Gemma3TextConfig, MistralConfig, Phi3Config

from stillhouse.students import branch
from stillhouse.students.batches import Collator
from stillhouse.students.branch import install_branch, remove_branch
from stillhouse.students.train import Setting, train_model

SIZES = {
    "vocab_size": 61,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
MORE = {
    "mistral": lambda: MistralConfig(**SIZES, sliding_window=5),
    "phi3": lambda: Phi3Config(**SIZES),
    "cohere": lambda: CohereConfig(**SIZES),
    "gemma2": lambda: Gemma2Config(**SIZES, head_dim=8, sliding_window=5),
    "gemma3": lambda: Gemma3TextConfig(**SIZES, head_dim=8, sliding_window=5),
}
LIMIT = 1e-6


@pytest.fixture(autouse=True)
def more_kinds(monkeypatch):
    for kind, config in MORE.items():
        monkeypatch.setitem(CONFIGS, kind, config)


def gradient(model, examples, *, is_packed, **autocast):
    """Loss and gradients of the token mean over one batch, and the shape of its rows."""
    assert install_branch(model)
    batch = Collator(1, is_packed)(examples)
    weight = torch.tensor(1 / len(batch["targets"]["token_ids"]))
    with torch.autocast("cpu", **autocast) if autocast else nullcontext():
        output = model(**batch, objective=BOTH, token_weights=weight)
    output.loss.backward()
    remove_branch(model)
    return output.loss.item(), gradients_of(model), batch["input_ids"].shape


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("kind", [*CONFIGS, *MORE])
def test_packed_rows_give_the_gradient_of_padded_ones(kind, lora):
    examples = draw_examples(9)
    loss, padded, (num_padded, width) = gradient(
        build(kind, lora=lora, attention_dropout=0.0), examples, is_packed=False
    )
    ours, packed, shape = gradient(
        build(kind, lora=lora, attention_dropout=0.0), examples, is_packed=True
    )
    assert shape == (shape[0], width)
    assert shape[0] < num_padded
    assert ours == pytest.approx(loss, rel=LIMIT)
    assert distance(packed, padded) < LIMIT


@pytest.mark.parametrize("kind", ["qwen3", "gpt_oss"])
def test_in_bfloat16_both_are_equally_far_from_float32(kind):
    examples = draw_examples(9)
    _, exact, _ = gradient(build(kind), examples, is_packed=True)
    errors = {}
    for is_packed in (True, False):
        _, seen, _ = gradient(build(kind), examples, is_packed=is_packed, dtype=torch.bfloat16)
        errors[is_packed] = distance(seen, exact)
    assert 0 < errors[True] < 2 * errors[False]


def test_a_model_that_cannot_is_trained_on_padded_rows_and_says_so(tmp_path, monkeypatch):
    data = data_of(draw_examples(8))
    results = {}
    for rows in ("packed", "padded"):
        if rows == "padded":
            monkeypatch.setattr(branch, "find_packed_reader", lambda _model: None)
        setting = Setting(ONE_THREAD, tmp_path / rows, "plan")
        results[rows] = train_model(build(), data, BOTH, quick(steps=3), setting)
    assert (results["packed"].is_packed, results["padded"].is_packed) == (True, False)
    assert results["packed"].tokens_trained == results["padded"].tokens_trained
    for ours, theirs in zip(results["packed"].curve, results["padded"].curve, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-4)
