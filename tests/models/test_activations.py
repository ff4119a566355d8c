"""What the planner says a block keeps for the backward pass is what torch saves."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from stillhouse.losses.terms import CROSS_ENTROPY
from stillhouse.models.adapters import add_lora
from stillhouse.recipes.activations import Batch, block_bytes, input_bytes
from stillhouse.recipes.sizes import sizes_of
from stillhouse.recipes.training import Lora
from stillhouse.students.branch import install_branch

ROWS, WIDTH = 3, 40
KEYS = {
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 112,
    "vocab_size": 101,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GPT2 = {"n_embd": 64, "n_head": 4, "n_inner": 112, "vocab_size": 101, "n_positions": 64}
CONFIGS = {
    "llama": KEYS,
    "qwen2": KEYS,
    "qwen3": KEYS | {"head_dim": 24},
    "gemma3_text": KEYS | {"head_dim": 24},
    "olmo2": KEYS,
    "phi3": KEYS,
    "gpt2": GPT2 | {"bos_token_id": 1, "eos_token_id": 2},
    "gpt_neox": {name: KEYS[name] for name in KEYS if name != "num_key_value_heads"},
    "gpt_oss": KEYS | {"head_dim": 24, "num_local_experts": 4, "num_experts_per_tok": 2},
}
LORA = Lora(rank=4)


def saved_bytes(config, layers, *, lora=None, is_narrow=False, is_packed=False, spares=False):
    """Bytes of every tensor that autograd saves in one forward pass; weights left out."""
    torch.manual_seed(0)
    config.num_hidden_layers = layers
    model = AutoModelForCausalLM.from_config(config)
    model = add_lora(model, lora, 0) if lora else model
    install_branch(model)
    model.train()
    if spares:
        model.activation_checkpointing_enable()
    own = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers())}
    seen = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            # Kept, so that no later tensor takes its place in memory.
            seen[storage.data_ptr()] = storage.nbytes(), tensor
        return tensor

    ids = torch.randint(3, 40, (ROWS, WIDTH))
    one = torch.arange(WIDTH)
    inside = torch.cat([one[: WIDTH // 2], one[: WIDTH // 2]]) if is_packed else one
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=is_narrow),
    ):
        model(
            input_ids=ids,
            position_ids=inside.expand(ROWS, WIDTH).contiguous(),
            targets={"positions": one[20:30], "token_ids": ids[0, 21:31]},
            ask=lambda *_: None,
            objective=CROSS_ENTROPY,
            token_weights=torch.tensor(0.1),
        )
    return sum(size for size, _ in seen.values())


def of_one_block(kind, **changes):
    config = AutoConfig.for_model(kind, **CONFIGS[kind])
    return saved_bytes(config, 2, **changes) - saved_bytes(config, 1, **changes)


def planned(kind, lora=None, **changes):
    batch = replace(Batch(ROWS * WIDTH, WIDTH, 10, is_masked=False), **changes)
    return block_bytes(sizes_of({"model_type": kind} | CONFIGS[kind]), batch, lora)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_block_that_learns_keeps_what_is_planned(kind):
    assert planned(kind) == pytest.approx(of_one_block(kind), rel=0.05)


@pytest.mark.parametrize(
    ("kind", "lora"),
    [
        ("qwen3", LORA),
        ("gpt2", LORA),
        ("gpt_oss", LORA),
        ("llama", Lora(rank=4, modules=("q_proj", "v_proj"))),
        ("llama", Lora(rank=4, dropout=0.1)),
    ],
)
def test_a_block_beside_an_adapter_keeps_what_is_planned(kind, lora):
    assert planned(kind, lora) == pytest.approx(of_one_block(kind, lora=lora), rel=0.07)


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma3_text", "gpt2"])
def test_products_in_bfloat16_keep_what_is_planned(kind):
    found = of_one_block(kind, is_narrow=True)
    assert planned(kind, is_narrow=True) == pytest.approx(found, rel=0.05)


def test_rows_of_several_examples_keep_a_mask_and_repeated_keys():
    found = of_one_block("qwen2", is_packed=True)
    assert planned("qwen2", is_masked=True) == pytest.approx(found, rel=0.05)
    assert found > 1.1 * of_one_block("qwen2")


def test_with_checkpointing_a_block_keeps_its_input_alone():
    batch = Batch(ROWS * WIDTH, WIDTH, 10)
    sizes = sizes_of({"model_type": "llama"} | CONFIGS["llama"])
    assert input_bytes(sizes, batch) == of_one_block("llama", spares=True)
