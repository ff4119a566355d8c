"""Which models read packed rows is found by trying, not by name."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from stillhouse.models.packing import find_packed_reader

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
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
WINDOW = {"head_dim": 8, "sliding_window": 4}
EXPERTS = {"num_local_experts": 3, "num_experts_per_tok": 2}
PACKING = {
    "qwen3": {"head_dim": 8},
    "llama": {},
    "gpt2": GPT2,
    "gpt_neox": {},
    "mistral": {"sliding_window": 4},
    "phi3": {},
    "cohere2": {"sliding_window": 4},
    "gemma2": WINDOW,
    "gemma3_text": WINDOW,
    "gpt_oss": WINDOW | EXPERTS,
    "mixtral": EXPERTS,
}
PADDING = {
    "opt, counts positions by itself": ("opt", {"ffn_dim": 24, "word_embed_proj_dim": 16}),
    "bloom, takes no positions": ("bloom", {"n_layer": 2, "n_head": 2}),
    "falcon, gives masks no positions": ("falcon", {}),
    "mamba, recurrent": ("mamba", {"state_size": 4}),
    "lfm2, convolutions": ("lfm2", {"layer_types": ["conv", "full_attention"]}),
}


def build(kind, changes):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SIZES | changes)
    return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kind", PACKING)
def test_packed_rows_are_read_as_if_each_example_were_alone(kind, dtype):
    model = build(kind, PACKING[kind]).to(dtype)
    read = find_packed_reader(model)
    parts = [torch.randint(0, 61, (length,)) for length in (9, 6)]
    ids = torch.stack((torch.cat((parts[0], parts[1])), torch.cat((parts[1], parts[0]))))
    inside = [torch.arange(length) for length in (9, 6)]
    places = torch.stack((torch.cat(inside), torch.cat(inside[::-1])))

    model.eval()
    with torch.no_grad():
        hidden = read(model, ids, places)
        alone = [model.base_model(input_ids=part[None]).last_hidden_state[0] for part in parts]

    limit = 1e-6 if dtype == torch.float32 else 2e-2
    for ours, theirs in (
        (hidden[0, :9], alone[0]),
        (hidden[0, 9:], alone[1]),
        (hidden[1, :6], alone[1]),
        (hidden[1, 6:], alone[0]),
    ):
        assert (ours - theirs).abs().max() <= limit * theirs.abs().max()


@pytest.mark.parametrize(("kind", "changes"), PADDING.values(), ids=PADDING)
def test_models_that_would_mix_examples_are_found(kind, changes):
    assert find_packed_reader(build(kind, changes)) is None


def test_a_model_that_reads_past_its_mask_is_found():
    model = build("llama", {})
    layer = model.model.layers[1]
    plain = layer.forward

    def leaking(hidden_states, *args, **kwargs):
        before = torch.roll(hidden_states, 1, dims=1)
        before[:, 0] = 0
        return plain(hidden_states + 1e-3 * before, *args, **kwargs)

    assert find_packed_reader(model) is not None
    layer.forward = leaking
    assert find_packed_reader(model) is None
