"""The count of what learns, from a config alone, is what the adapter on its model has."""

import warnings

import pytest
import torch
from tests.models.test_sizes import config_of, on_meta
from transformers import AutoConfig, AutoModelForCausalLM

from stillhouse.models.adapters import add_lora, trainable_count
from stillhouse.recipes.facts import facts_for
from stillhouse.recipes.sizes import sizes_of
from stillhouse.recipes.trainable import trainable_parameters
from stillhouse.recipes.training import Lora

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
SEVEN = (*ATTENTION, "gate_proj", "up_proj", "down_proj")
EXPERTS = ("gate_up_proj", "down_proj")
CASES = {
    "all": (Lora(rank=5), ("llama", "qwen2", "qwen3", "gpt2", "gpt_neox", "gpt_oss")),
    "some": (Lora(rank=5, modules=("q_proj", "v_proj")), ("llama", "qwen3", "gpt_oss")),
    "gpt2's": (Lora(rank=5, modules=("attn.c_proj", "c_fc")), ("gpt2",)),
    "one layer's": (
        Lora(rank=5, modules=("model.layers.1.self_attn.q_proj", "layers.2.mlp.up_proj")),
        ("llama", "qwen3"),
    ),
    "one block of gpt2": (Lora(rank=5, modules=("transformer.h.0.attn.c_attn",)), ("gpt2",)),
    "experts": (Lora(rank=5, modules=(), experts=EXPERTS), ("gpt_oss",)),
    "one layer's experts": (
        Lora(rank=5, modules=("q_proj",), experts=("layers.1.mlp.experts.down_proj",)),
        ("gpt_oss",),
    ),
}


@pytest.mark.parametrize("bias", ["none", "lora_only", "all"])
@pytest.mark.parametrize(
    ("kind", "lora"),
    [(kind, lora) for lora, kinds in CASES.values() for kind in kinds],
    ids=[f"{name}-{kind}" for name, (_, kinds) in CASES.items() for kind in kinds],
)
def test_what_an_adapter_trains_is_counted_exactly(kind, lora, bias):
    config = config_of(kind)
    lora = lora.model_copy(update={"bias": bias})
    counted = trainable_parameters(sizes_of(config.to_dict()), lora)
    with torch.device("meta"):
        assert trainable_count(add_lora(on_meta(config), lora, seed=0)) == counted


FOUNDING = {
    "unsloth/gpt-oss-20b-BF16": (Lora(rank=16, modules=ATTENTION), 7_962_624),
    "Qwen/Qwen3-4B": (Lora(rank=32, modules=SEVEN), 66_060_288),
}


@pytest.mark.parametrize("model_id", FOUNDING)
def test_the_founding_adapters_have_so_many_weights(model_id, request):
    lora, expected = FOUNDING[model_id]
    stated = facts_for(model_id).shape.config()

    assert trainable_parameters(sizes_of(stated), lora) == expected
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**stated))
        assert trainable_count(add_lora(model, lora, seed=0)) == expected
    assert trainable_parameters(sizes_of(stated), None) == sum(
        parameter.numel() for name, parameter in model.named_parameters() if "lora_" not in name
    )
