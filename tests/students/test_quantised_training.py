"""Adapters over frozen weights: measuring changes nothing, what is frozen stays, guards fire."""

import pytest
import torch
from tiny_students import BOTH, build, data_of, draw_examples, quick

from stillhouse.core.errors import ModelError
from stillhouse.models.adapters import add_lora
from stillhouse.models.inference import evaluating
from stillhouse.models.load import LoadOptions, load_model
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.training import Lora
from stillhouse.students.train import Setting, train_model

WIDE = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 32, "num_key_value_heads": 2}
"""Rows in multiples of 32, which bitsandbytes would re-pack."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("students")
    for kind in ("qwen3", "gpt2", "gpt_oss"):
        build(kind).save_pretrained(root / kind)
    build("qwen3", **WIDE).save_pretrained(root / "wide")
    return root


def student(folder, quantization, dtype="float32", **lora):
    held = load_model(folder, dtype=dtype, options=LoadOptions(quantization))
    return add_lora(held, Lora(rank=4, **lora), seed=0)


def held_values(model):
    """Every tensor of a model, quantised ones with their scales."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def trained_values(model):
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def fit(model, workdir, validation, *, steps=6, dtype="float32", **training):
    data = data_of(draw_examples(12), draw_examples(5, seed=1) if validation else ())
    section = quick(steps=steps, checkpoint_every=1, **training)
    compute = ResolvedCompute("cpu", dtype, 1)
    return train_model(model, data, BOTH, section, Setting(compute, workdir, "plan"))


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
@pytest.mark.parametrize("kind", ["wide", "gpt2", "gpt_oss"])
def test_validation_at_every_step_changes_no_bit_of_what_is_learned(
    kind, quantization, folders, tmp_path
):
    pytest.importorskip("bitsandbytes")
    weights, losses = [], []
    for name in ("with", "without"):
        model = student(folders / kind, quantization)
        result = fit(model, tmp_path / name, name == "with")
        weights.append(trained_values(model))
        losses.append([point.loss for point in result.curve])
        assert [point.validation_loss is None for point in result.curve] == [name == "without"] * 6
    assert losses[0] == losses[1]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[1])
    fresh = trained_values(student(folders / kind, quantization))
    assert not any(torch.equal(weights[0][key], fresh[key]) for key in fresh)


@pytest.mark.parametrize("quantization", ["none", "nf4", "int8"])
@pytest.mark.parametrize("bias", ["none", "all"])
def test_what_is_frozen_gets_no_gradient_and_keeps_its_bits(quantization, bias, folders, tmp_path):
    if quantization != "none":
        pytest.importorskip("bitsandbytes")
        if bias == "all":
            pytest.skip("refused by the recipe")
    model = student(folders / "gpt2", quantization, bias=bias)
    trained = trained_values(model).keys()
    before = held_values(model)

    fit(model, tmp_path, validation=True)

    after = held_values(model)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == set(trained)
    frozen = [p for n, p in model.named_parameters() if n not in trained]
    assert frozen
    assert all(parameter.grad is None for parameter in frozen)


@pytest.mark.parametrize("is_packed", [True, False])
def test_weights_that_were_repacked_are_refused_and_others_kept_from_it(
    is_packed, folders, tmp_path
):
    bitsandbytes = pytest.importorskip("bitsandbytes")
    if not bitsandbytes.nn.modules.has_avx512bf16():
        pytest.skip("this processor has nothing to re-pack weights for")
    model = student(folders / "wide", "nf4")
    for layer in model.modules():
        if isinstance(layer, bitsandbytes.nn.Linear4bit):
            layer.support_avx512bf16_for_cpu = True  # as whoever else loads it
    if not is_packed:
        fit(model, tmp_path, validation=True)
        return
    with evaluating(model):
        model(input_ids=torch.arange(3, 9)[None])
    with pytest.raises(ModelError, match="re-packed by a forward pass in eval mode"):
        fit(model, tmp_path, validation=False)


def test_a_base_in_16_bits_stays_so_and_its_adapter_learns_in_32(folders, tmp_path):
    model = student(folders / "qwen3", "none", dtype="bfloat16")
    before = held_values(model)

    result = fit(model, tmp_path, validation=True, dtype="bfloat16", steps=12)

    assert result.curve[-1].loss < result.curve[0].loss
    after = held_values(model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == set(trained_values(model))
    assert {tensor.dtype for tensor in trained_values(model).values()} == {torch.float32}
    kept = {p.dtype for p in model.parameters() if not p.requires_grad}
    assert kept == {torch.bfloat16}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_of_16_bits_are_not_trained_themselves(dtype, folders, tmp_path):
    model = load_model(folders / "qwen3", dtype=dtype)
    with pytest.raises(ModelError, match=f"is torch.{dtype}; small updates would be lost"):
        fit(model, tmp_path, validation=False)


@pytest.mark.parametrize("kind", ["qwen3", "gpt_oss"])
@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_checkpointing_gives_the_same_adapter(kind, quantization, folders, tmp_path):
    pytest.importorskip("bitsandbytes")
    experts = {"experts": ("down_proj",)} if kind == "gpt_oss" else {}
    weights = []
    for is_short in (False, True):
        model = student(folders / kind, quantization, **experts)
        fit(model, tmp_path / str(is_short), validation=True, gradient_checkpointing=is_short)
        weights.append(trained_values(model))
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, rtol=1e-5, atol=1e-6)
