"""Whole models as GGUF: what is in the file, and what is refused before a byte is written."""

import errno
import json
import os
import shutil

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.models.tiny_models import build, save
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers

from stillhouse.core.errors import DiskFullError, ModelError
from stillhouse.core.rows import Message
from stillhouse.engines.gguf_head import read_gguf_head
from stillhouse.export.gguf_model import WEIGHTS_KEY, GgufFacts, write_gguf
from stillhouse.models.scratch import save_model
from stillhouse.models.source import open_folder
from stillhouse.tokens.jinja import jinja_of
from stillhouse.tokens.template import ChatTemplate, PlainTemplate
from stillhouse.tokens.tokenizer import load_tokenizer

FACTS = GgufFacts("tiny", "apache-2.0", "org/base")


@pytest.fixture(scope="module")
def folders(tokenizer, tokenizer_folder, tmp_path_factory):
    """One model folder of each family."""
    root = tmp_path_factory.mktemp("models")
    for family in ("qwen3", "llama", "gpt2"):
        save(family, tokenizer, tokenizer_folder, root / family, seed=5)
    return root


def pairs_side_by_side(weights, heads):
    """The order of llama.cpp's rotation, written out row by row."""
    head = len(weights) // heads
    order = [
        start + place
        for start in range(0, len(weights), head)
        for half in range(head // 2)
        for place in (half, half + head // 2)
    ]
    return weights[order]


def expected(family, name, tensor):
    weights = tensor.numpy()
    if family == "gpt2" and name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
        return weights.T
    if family == "llama" and ".q_proj." in name:
        return pairs_side_by_side(weights, 4)
    if family == "llama" and ".k_proj." in name:
        return pairs_side_by_side(weights, 2)
    return weights


@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2"])
def test_every_tensor_is_there_bit_by_bit(family, folders, template, tmp_path):
    folder = folders / family

    write_gguf(folder, template, tmp_path / "m.gguf", "f32", FACTS)

    read = {one.name: one.data for one in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    stored = load_file(folder / "model.safetensors")
    names = gguf.get_tensor_name_map({v: k for k, v in gguf.MODEL_ARCH_NAMES.items()}[family], 2)
    assert len(read) == len(stored)
    assert ("output.weight" in read) == (family == "llama")
    for name, tensor in stored.items():
        there = read[names.get_name(name, try_suffixes=(".weight", ".bias"))]
        np.testing.assert_array_equal(there, expected(family, name, tensor))


@pytest.mark.parametrize(("weights", "kind"), [("bf16", "BF16"), ("f16", "F16"), ("q8_0", "Q8_0")])
def test_matrices_are_stored_as_asked_and_vectors_in_float32(
    weights, kind, folders, template, tmp_path
):
    write_gguf(folders / "qwen3", template, tmp_path / "m.gguf", weights, FACTS)

    for one in gguf.GGUFReader(tmp_path / "m.gguf").tensors:
        wanted = "F32" if len(one.shape) == 1 else kind
        if wanted == "Q8_0" and one.shape[0] % 32:  # no whole blocks in a row
            wanted = "F16"
        assert one.tensor_type.name == wanted, one.name
        if one.name == "blk.1.ffn_up.weight":
            original = load_file(folders / "qwen3" / "model.safetensors")
            wanted = original["model.layers.1.mlp.up_proj.weight"].numpy()
            found = gguf.quants.dequantize(one.data, one.tensor_type)
            np.testing.assert_allclose(found, wanted, atol=0.02)


def test_equal_weights_give_equal_bytes_and_the_file_names_them(folders, template, tmp_path):
    for name in "ab":
        write_gguf(folders / "llama", template, tmp_path / name, "f16", FACTS)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    facts = read_gguf_head(tmp_path / "a").facts
    assert facts[WEIGHTS_KEY] == open_folder(folders / "llama").weights_digest()
    assert facts["general.license"] == "apache-2.0"
    assert facts["general.base_model.0.name"] == "org/base"


def test_ids_specials_and_template_are_the_tokenizers(folders, tokenizer, template, tmp_path):
    write_gguf(folders / "gpt2", template, tmp_path / "m.gguf", "f32", FACTS)

    reader = gguf.GGUFReader(tmp_path / "m.gguf")
    read = {key: field.contents() for key, field in reader.fields.items()}
    assert read["tokenizer.ggml.tokens"] == [
        tokenizer.token_of(number) for number in range(tokenizer.vocab_size)
    ]
    assert read["tokenizer.ggml.pre"] == "gpt-2"
    assert read["tokenizer.ggml.eos_token_id"] == tokenizer.eos_id
    assert read["tokenizer.ggml.padding_token_id"] == tokenizer.pad_id
    assert read["tokenizer.ggml.add_bos_token"] is False
    assert read["tokenizer.chat_template"] == tokenizer.chat_template
    kinds = read["tokenizer.ggml.token_type"]
    assert {number for number, kind in enumerate(kinds) if kind == gguf.TokenType.CONTROL} == set(
        tokenizer.special_ids
    )


def test_padded_rows_are_unused_tokens(tokenizer, tokenizer_folder, template, tmp_path):
    save("llama", tokenizer, tokenizer_folder, tmp_path / "m", vocab_size=tokenizer.vocab_size + 3)

    vocabulary = write_gguf(tmp_path / "m", template, tmp_path / "m.gguf", "f32", FACTS)

    assert vocabulary.tokens[-1] == f"[PAD{tokenizer.vocab_size + 2}]"
    assert read_gguf_head(tmp_path / "m.gguf").facts["llama.vocab_size"] == tokenizer.vocab_size + 3


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"system": "S: {content}\n\n", "user": "U'\"\\: {content}\t", "assistant": "A: {content}."},
        {"user": "{{ {content} }} {% raw %}", "bos": "<|pad|>"},
    ],
)
def test_a_plain_template_is_the_same_as_jinja(told, tokenizer):
    plain = PlainTemplate("<|end|>", **told)
    written = ChatTemplate(jinja_of(plain))
    turns = [Message("user", "zwei\nZeilen {{ 1 }}"), Message("assistant", " ja ")] * 2
    for messages in (turns[:1], turns[:3], [Message("system", "sei kurz"), *turns[:3]]):
        assert written._write(messages, True) == plain.prompt_text(messages)
        assert written._write(messages, False) == plain.render(messages).text


def changed(folder, target, file="config.json", **changes):
    shutil.copytree(folder, target)
    told = json.loads((target / file).read_bytes())
    (target / file).write_text(json.dumps({**told, **changes}))
    return target


@pytest.mark.parametrize(
    ("family", "changes", "says"),
    [
        ("llama", {"model_type": "gemma2"}, "gemma2 models are not written as GGUF"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ("llama", {"quantization_config": {"quant_method": "x"}}, "quantised already"),
        ("llama", {"partial_rotary_factor": 0.5}, "share 0.5"),
        ("qwen3", {"use_sliding_window": True}, "use_sliding_window is True"),
        ("qwen3", {"rope_parameters": {"rope_type": "longrope"}}, "rotated by longrope"),
        ("gpt2", {"activation_function": "relu"}, "activation_function is 'relu'"),
        ("gpt2", {"model_type": "qwen3"}, "has no num_attention_heads"),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(
    family, changes, says, folders, template, tmp_path
):
    folder = changed(folders / family, tmp_path / "m", **changes)

    with pytest.raises(ModelError, match=says) as error:
        write_gguf(folder, template, tmp_path / "out" / "m.gguf", "f32", FACTS)

    assert error.value.hint
    assert not (tmp_path / "out").exists()


def test_a_tensor_without_a_place_is_refused(folders, template, tmp_path):
    folder = changed(folders / "llama", tmp_path / "m")
    stored = load_file(folder / "model.safetensors")
    stored["model.layers.0.self_attn.gate.weight"] = torch.ones(2, 2)
    save_file(stored, folder / "model.safetensors")

    with pytest.raises(ModelError, match=r"no place for the tensor model\.layers\.0\.self_attn"):
        write_gguf(folder, template, tmp_path / "m.gguf", "f32", FACTS)


def test_a_missing_head_is_refused(folders, template, tmp_path):
    folder = changed(folders / "qwen3", tmp_path / "m", tie_word_embeddings=False)

    with pytest.raises(ModelError, match=r"no lm_head\.weight"):
        write_gguf(folder, template, tmp_path / "m.gguf", "f32", FACTS)


def rewritten(folders, target, change):
    """The llama folder with another tokenizer."""
    shutil.copytree(folders / "llama", target)
    backend = Tokenizer.from_file(str(target / "tokenizer.json"))
    change(backend)
    backend.save(str(target / "tokenizer.json"))
    return target


def cut_by(expression):
    def change(backend):
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(expression), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )

    return change


def normalised(backend):
    backend.normalizer = normalizers.Lowercase()


def spaced(backend):
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)


def stripped(backend):
    backend.add_tokens([AddedToken("the", lstrip=True)])


def whitespace(backend):
    backend.pre_tokenizer = pre_tokenizers.Whitespace()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (cut_by(r"\p{N}{1,2}|\p{L}+"), r"cuts texts by \\p\{N\}\{1,2\}"),
        (normalised, "changes texts by Lowercase"),
        (spaced, "ByteLevel .*add_prefix_space True"),
        (stripped, "'the' has lstrip"),
        (whitespace, "has no bytes"),
    ],
)
def test_a_tokenizer_that_llama_cpp_does_not_have_is_refused(
    change, says, folders, template, tmp_path
):
    folder = rewritten(folders, tmp_path / "m", change)

    with pytest.raises(ModelError, match=says) as error:
        write_gguf(folder, template, tmp_path / "out" / "m.gguf", "f32", FACTS)

    assert "merged" in error.value.hint
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_what_was_there(folders, template, tmp_path, monkeypatch):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"old")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError):
        write_gguf(folders / "gpt2", template, path, "f32", FACTS)

    assert [one.name for one in tmp_path.iterdir()] == ["m.gguf"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("value", "weights", "says"),
    [(1e5, "f16", "float16 ends at 65504"), (float("nan"), "f32", "not finite")],
)
def test_a_number_that_does_not_fit_is_refused(
    value, weights, says, tokenizer, tokenizer_folder, template, tmp_path
):
    model = build("llama", tokenizer)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[3, 4] = value
    save_model(model, tokenizer_folder, tmp_path / "m")

    with pytest.raises(ModelError, match=says):
        write_gguf(tmp_path / "m", template, tmp_path / "m.gguf", weights, FACTS)

    assert not (tmp_path / "m.gguf").exists()


def test_the_tokens_of_a_config_alone_are_in_the_file(folders, template, tmp_path):
    folder = changed(
        folders / "llama", tmp_path / "m", "tokenizer_config.json", unk_token="<|pad|>"
    )
    state = load_tokenizer(folder).state()

    vocabulary = write_gguf(folder, template, tmp_path / "m.gguf", "f32", FACTS)

    assert vocabulary.tokens[: len(state["added_tokens"])] == [
        one["content"] for one in state["added_tokens"]
    ]
