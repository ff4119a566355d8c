"""Weights in 8 and 4 bits: their bytes, their answers, and that asking spoils no training."""

import math

import pytest
import torch
from tests.models.tiny_models import CONFIGS, build
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from stillhouse.core.errors import UsageError
from stillhouse.export.merge import merge_student, write_adapter
from stillhouse.models.adapters import add_lora, trainable_count
from stillhouse.models.inference import evaluating
from stillhouse.models.load import LoadOptions, load_model
from stillhouse.models.quantised import held_bytes, is_quantised, parameter_count
from stillhouse.models.scratch import save_model
from stillhouse.recipes.quantised_bytes import quantised_bytes
from stillhouse.recipes.training import Lora

pytest.importorskip("bitsandbytes")
KINDS = ("nf4", "int8")
SIZE = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 16, "initializer_range": 0.05}
"""Of a model whose layers bitsandbytes would re-pack: it asks for a multiple of 32 rows."""


@pytest.fixture(scope="module")
def folders(tokenizer, tokenizer_folder, tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    for family in CONFIGS:
        save_model(build(family, tokenizer), tokenizer_folder, root / family)
    save_model(build("qwen3", tokenizer, **SIZE), tokenizer_folder, root / "packable")
    return root


def quantised(folder, kind, **options):
    return load_model(folder, options=LoadOptions(kind), **options)


def logits(model):
    with evaluating(model):
        return model(input_ids=torch.arange(3, 40)[None]).logits.clone()


def round_weights(model, kind):
    """The naive version: each matrix of a linear layer to few bits and back."""
    from bitsandbytes import functional

    head = model.get_output_embeddings()
    for module in model.modules():
        if not isinstance(module, nn.Linear | Conv1D) or module is head:
            continue
        weight = module.weight.data
        turned = weight.T.contiguous() if isinstance(module, Conv1D) else weight
        if kind == "nf4":
            held = functional.quantize_4bit(turned, quant_type="nf4", compress_statistics=True)
            back = functional.dequantize_4bit(*held)
        else:
            numbers, largest, _ = functional.int8_vectorwise_quant(turned.half())
            back = numbers * largest[:, None] / 127
        module.weight.data = back.T.contiguous() if isinstance(module, Conv1D) else back


def gradients(model):
    model.train()
    torch.manual_seed(0)
    model(input_ids=torch.arange(3, 40)[None]).logits.square().mean().backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", CONFIGS)
def test_each_linear_layer_but_the_head_is_quantised(family, kind, folders):
    whole, small = load_model(folders / family), quantised(folders / family, kind)

    kinds = {type(module).__name__ for module in small.modules() if isinstance(module, nn.Linear)}
    assert kinds == {"Linear", "Linear4bit" if kind == "nf4" else "Linear8bitLt"}
    assert type(small.get_output_embeddings()) is nn.Linear
    assert is_quantised(small)
    assert not is_quantised(whole)
    assert parameter_count(small) == parameter_count(whole) == whole.num_parameters()
    assert not torch.equal(logits(small), logits(whole))
    round_weights(whole, kind)
    for module in small.modules():
        # In training 8 bits hold weights alone; in eval mode, activations as well.
        module.training = type(module).__name__ == "Linear8bitLt"
    with torch.no_grad():
        ours, theirs = (
            model(input_ids=torch.arange(3, 9)[None]).logits for model in (small, whole)
        )
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", [(16, 16), (24, 16), (96, 64), (300, 128), (7, 9)])
@pytest.mark.parametrize("kind", KINDS)
def test_bytes_are_counted_as_bitsandbytes_holds_them(kind, shape):
    import bitsandbytes as bnb

    weight = torch.randn(shape)
    if kind == "int8":
        held = bnb.nn.Int8Params(weight, requires_grad=False).to("cpu")
        parts = [held.data, held.SCB]
    else:
        held = bnb.nn.Params4bit(
            weight, requires_grad=False, quant_type="nf4", compress_statistics=True
        ).to("cpu")
        state = held.quant_state
        parts = [held.data, state.absmax, state.code, state.offset]
        parts += [state.state2.absmax, state.state2.code]
    measured = sum(part.numel() * part.element_size() for part in parts)
    assert quantised_bytes(kind, *shape) == measured
    assert quantised_bytes("nf4", 4096, 4096) / 4096**2 == pytest.approx(
        0.5 + 1 / 64 + 4 / (64 * 256), rel=1e-3
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["packable", "gpt2", "gpt_oss"])
def test_asking_before_training_changes_no_gradient(name, kind, folders):
    asked, fresh = (
        add_lora(quantised(folders / name, kind), Lora(rank=4), seed=0) for _ in range(2)
    )
    with torch.no_grad():
        for model in (asked, fresh):
            torch.manual_seed(1)
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter), alpha=0.1)
    before = logits(asked)

    ours, theirs = gradients(asked), gradients(fresh)

    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert min(float(gradient.norm()) for gradient in ours.values()) > 0
    assert torch.equal(logits(asked), before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["packable", "gpt2", "gpt_oss"])
def test_an_adapter_learns_as_over_the_rounded_weights(name, kind, folders):
    rounded = load_model(folders / name)
    round_weights(rounded, kind)

    ours = gradients(add_lora(quantised(folders / name, kind), Lora(rank=4), seed=0))

    theirs = gradients(add_lora(rounded, Lora(rank=4), seed=0))
    assert ours.keys() == theirs.keys()
    error = sum(float((ours[key] - theirs[key]).norm()) ** 2 for key in theirs)
    size = sum(float(gradient.norm()) ** 2 for gradient in theirs.values())
    assert math.sqrt(error / size) < 1e-2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", CONFIGS)
def test_an_adapter_is_merged_into_the_whole_base_alone(family, kind, folders, tmp_path):
    base = folders / family
    adapted = add_lora(quantised(base, kind), Lora(rank=2), seed=0)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.1)
    with pytest.raises(UsageError, match="is not merged into them"):
        merge_student(adapted)

    write_adapter(adapted, tmp_path, "base", base)

    again = load_model(tmp_path, base=base, options=LoadOptions(kind))
    assert torch.equal(logits(again), logits(adapted))
    over_whole = load_model(tmp_path, base=base)
    assert trainable_count(over_whole) == 0
    merged = merge_student(over_whole)
    limit = 1e-4 * float(logits(over_whole).abs().max())
    assert float((logits(merged) - logits(over_whole)).abs().max()) < limit
    merged.save_pretrained(tmp_path / "merged")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert torch.equal(logits(plain), logits(merged))
    assert {parameter.dtype for parameter in plain.parameters()} == {torch.float32}


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_of_a_whole_model_are_those_of_its_parts(kind, folders):
    whole, small = load_model(folders / "packable"), quantised(folders / "packable", kind)
    linear = [
        module.weight
        for module in whole.modules()
        if isinstance(module, nn.Linear) and module is not whole.get_output_embeddings()
    ]
    plain = 4 * (whole.num_parameters() - sum(weight.numel() for weight in linear))
    assert held_bytes(whole) == 4 * whole.num_parameters()
    assert held_bytes(small) == plain + sum(quantised_bytes(kind, *one.shape) for one in linear)


def test_what_is_not_quantised_takes_the_dtype(folders):
    small = quantised(folders / "packable", "nf4", dtype="bfloat16")
    assert {parameter.dtype for parameter in small.parameters()} == {torch.bfloat16, torch.uint8}
    adapted = add_lora(small, Lora(rank=2), seed=0)
    trained = {p.dtype for p in adapted.parameters() if p.requires_grad}
    assert trained == {torch.float32}
