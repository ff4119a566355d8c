"""Tiny models of two families as GGUF files, in float32, with the tokenizer of our own tests.

The vocabulary is byte-level BPE cut by GPT-2's expression, which is what `train_tokenizer` makes.
"""

import json

import gguf

_ARCHITECTURES = {"qwen3": gguf.MODEL_ARCH.QWEN3, "llama": gguf.MODEL_ARCH.LLAMA}


def write_gguf(model, tokenizer_folder, path):
    """The file of a model in memory; its context is that of the config."""
    config = model.config
    writer = gguf.GGUFWriter(path, config.model_type)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _add_tokenizer(writer, tokenizer_folder, config)
    _add_tensors(writer, model, config)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer, folder, config):
    told = json.loads((folder / "tokenizer.json").read_text())
    named = json.loads((folder / "tokenizer_config.json").read_text())
    tokens = {number: token for token, number in told["model"]["vocab"].items()}
    special = {one["id"]: one["content"] for one in told["added_tokens"] if one["special"]}
    tokens |= special
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    numbers = range(config.vocab_size)
    writer.add_token_list([tokens.get(number, f"[PAD{number}]") for number in numbers])
    kinds = [_kind(number, tokens, special) for number in numbers]
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in told["model"]["merges"]])
    ids = {content: number for number, content in special.items()}
    # Without one llama.cpp takes id 11, and the server then leaves that token out of its answers.
    writer.add_bos_token_id(ids[named["pad_token"]])
    writer.add_eos_token_id(ids[named["eos_token"]])
    writer.add_pad_token_id(ids[named["pad_token"]])
    writer.add_add_bos_token(False)
    writer.add_chat_template(named["chat_template"])


def _kind(number, tokens, special):
    if number in special:
        return gguf.TokenType.CONTROL
    return gguf.TokenType.NORMAL if number in tokens else gguf.TokenType.UNUSED


def _add_tensors(writer, model, config):
    names = gguf.get_tensor_name_map(_ARCHITECTURES[config.model_type], config.num_hidden_layers)
    for key, tensor in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        weights = tensor.float().numpy()
        if config.model_type == "llama" and key.endswith("q_proj.weight"):
            weights = _interleaved(weights, config.num_attention_heads)
        if config.model_type == "llama" and key.endswith("k_proj.weight"):
            weights = _interleaved(weights, config.num_key_value_heads)
        writer.add_tensor(names.get_name(key, try_suffixes=(".weight",)), weights)


def _interleaved(weights, num_heads):
    """Rows in the order of llama.cpp's rotation for Llama: pairs side by side."""
    rows, columns = weights.shape
    halves = weights.reshape(num_heads, 2, rows // num_heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)
