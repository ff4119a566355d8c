"""Sizes from a config are those of the model that transformers builds, weight for weight."""

import warnings

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from stillhouse.recipes.families import FAMILIES
from stillhouse.recipes.sizes import sizes_of

KEYS = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "intermediate_size": 96,
    "vocab_size": 101,
    "max_position_embeddings": 32,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 40,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
WITHOUT = {
    "gpt2": ("num_key_value_heads", "head_dim", "intermediate_size"),
    "gpt_neox": ("num_key_value_heads", "head_dim"),
    **dict.fromkeys(("qwen2", "phi", "phi3", "smollm3", "olmo2"), ("head_dim",)),
}
"""Keys that the architecture does not have."""
CHANGES = [
    {},
    {"attention_bias": True},
    {"mlp_bias": True},
    {"tie_word_embeddings": True},
    {"tie_word_embeddings": False},
]


def config_of(kind, **changes):
    keys = {name: value for name, value in KEYS.items() if name not in WITHOUT.get(kind, ())}
    keys |= {"n_inner": 96} if kind == "gpt2" else {}
    return AutoConfig.for_model(kind, **keys | changes)


def on_meta(config):
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoModelForCausalLM.from_config(config)


def linear_layers(model):
    head = model.get_output_embeddings()
    return {
        name.split(".", 3)[-1]: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    }


@pytest.mark.parametrize("changes", CHANGES, ids=str)
@pytest.mark.parametrize("kind", FAMILIES)
def test_every_weight_is_counted(kind, changes):
    config = config_of(kind, **changes)
    model = on_meta(config)
    sizes = sizes_of(config.to_dict())
    assert sizes.parameters == model.num_parameters()
    assert {one.name for one in sizes.linears} == linear_layers(model).keys()


@pytest.mark.parametrize("kind", FAMILIES)
def test_what_a_config_leaves_out_is_what_its_class_fills_in(kind):
    assert (
        sizes_of({"model_type": kind}).parameters == on_meta(config_of_class(kind)).num_parameters()
    )


def config_of_class(kind):
    return AutoConfig.for_model(kind)
