"""Tiny models of four families with a trained tokenizer, built once a session."""

from stillhouse.models.scratch import build_scratch, save_model
from stillhouse.recipes.models import Scratch

CORPUS = [
    "the quick brown fox jumps over the lazy dog and runs home again",
    "a question has an answer, and the answer has a reason: yes, no, maybe",
    "{'intent': 'refund', 'mood': 'angry'} 0123456789",
] * 4
_LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
}
_YARN = {
    "rope_type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": 32,
    "rope_theta": 10000.0,
}
CONFIGS = {
    "qwen3": {**_LLAMA, "tie_word_embeddings": True},
    "llama": _LLAMA,
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "initializer_range": 0.3},
    "gpt_oss": {
        **_LLAMA,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "rope_parameters": _YARN,
    },
}


def build(family, tokenizer, seed=0, **changes):
    scratch = Scratch(model_type=family, config={**CONFIGS[family], **changes})
    return build_scratch(scratch, tokenizer, seed=seed)


def save(family, tokenizer, tokenizer_folder, folder, seed=0, **changes):
    save_model(build(family, tokenizer, seed, **changes), tokenizer_folder, folder)
    return folder
