"""The importance of columns: the mean square of what goes through them, as llama.cpp reads it."""

import gguf
import numpy as np
import pytest
import torch
from tests.models.tiny_models import build

from stillhouse.core.errors import ModelError
from stillhouse.core.rows import Example, Message
from stillhouse.export.importance import measure_importance, texts_of, write_importance

TEXTS = [np.arange(5, 25, dtype=np.int32), np.arange(40, 47, dtype=np.int32)]


def naive(model, layer):
    """Mean squares of a layer's inputs, one token after the other."""
    seen = []
    handle = layer.register_forward_hook(lambda _, told, __: seen.append(told[0][0]))
    with torch.no_grad():
        for ids in TEXTS:
            model(input_ids=torch.from_numpy(ids).long()[None])
    handle.remove()
    tokens = torch.cat(seen)
    return (sum(one.double() ** 2 for one in tokens) / len(tokens)).numpy()


@pytest.mark.parametrize(
    ("family", "name", "way"),
    [
        ("llama", "blk.1.ffn_down.weight", "model.layers.1.mlp.down_proj"),
        ("llama", "output.weight", "lm_head"),
        ("qwen3", "token_embd.weight", "lm_head"),
        ("gpt2", "blk.0.attn_qkv.weight", "transformer.h.0.attn.c_attn"),
    ],
)
def test_it_is_the_mean_square_of_the_inputs(family, name, way, tokenizer):
    model = build(family, tokenizer, seed=3).eval()

    found = measure_importance(model, TEXTS)

    assert found.num_tokens == 27
    expected = naive(model, model.get_submodule(way))
    np.testing.assert_allclose(found.means()[name], expected, rtol=1e-5)
    assert not [one for one in model.modules() if one._forward_pre_hooks]


def test_every_matrix_of_the_blocks_has_one(tokenizer):
    found = measure_importance(build("qwen3", tokenizer), TEXTS)
    assert len([name for name in found.squares if name.startswith("blk.")]) == 14


def test_the_file_is_laid_out_as_llama_cpp_reads_it(tokenizer, tmp_path):
    found = measure_importance(build("llama", tokenizer), TEXTS)

    write_importance(found, tmp_path / "i.gguf")

    read = gguf.GGUFReader(tmp_path / "i.gguf")
    facts = {key: field.contents() for key, field in read.fields.items()}
    assert facts["general.type"] == "imatrix"
    assert facts["imatrix.chunk_count"] == 2
    assert facts["imatrix.chunk_size"] == 20
    assert len(facts["imatrix.datasets"]) == 1
    tensors = {one.name: one.data for one in read.tensors}
    assert len(tensors) == 2 * len(found.squares)
    name = "blk.0.attn_q.weight"
    assert tensors[f"{name}.counts"].ravel().tolist() == [27.0]
    np.testing.assert_allclose(
        tensors[f"{name}.in_sum2"].ravel() / 27.0, found.means()[name], rtol=1e-6
    )


def test_texts_are_prompts_where_no_answer_is_known(tokenizer, template):
    prompt = (Message("user", "the fox"),)
    bare, whole = texts_of(
        [Example("a", "x", prompt, None), Example("b", "x", prompt, "runs")], template, tokenizer
    )
    assert whole[: len(bare)].tolist() == bare.tolist()
    assert len(whole) > len(bare)


def test_without_a_text_nothing_is_measured(tokenizer):
    with pytest.raises(ModelError, match="there are none"):
        measure_importance(build("llama", tokenizer), [])
