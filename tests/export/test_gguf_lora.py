"""Adapters as GGUF: what is in the file, and what such a file cannot say."""

import json
import shutil

import gguf
import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tests.models.tiny_models import save

from stillhouse.core.errors import ArtifactError, ModelError
from stillhouse.engines.gguf_head import read_gguf_head
from stillhouse.export.gguf_bundle import require_same_base
from stillhouse.export.gguf_lora import write_gguf_adapter
from stillhouse.export.gguf_model import WEIGHTS_KEY, GgufFacts, write_gguf
from stillhouse.export.merge import write_adapter
from stillhouse.models.load import load_model
from stillhouse.models.source import open_folder

FACTS = GgufFacts("tiny", base="org/base")
TARGETS = {"gpt2": ["c_attn", "c_proj", "c_fc"], "llama": "all-linear"}


@pytest.fixture(scope="module")
def folders(tokenizer, tokenizer_folder, tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for family in TARGETS:
        save(family, tokenizer, tokenizer_folder, root / family, seed=5)
        torch.manual_seed(4)
        settings = LoraConfig(r=4, lora_alpha=6, target_modules=TARGETS[family],
                              task_type="CAUSAL_LM", fan_in_fan_out=family == "gpt2")  # fmt: skip
        model = get_peft_model(load_model(root / family), settings)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
        write_adapter(model, root / f"{family}-adapter", "org/base", root / family)
    return root


@pytest.mark.parametrize("family", TARGETS)
def test_a_and_b_are_there_in_the_order_of_llama_cpps_rows(family, folders, tmp_path):
    write_gguf_adapter(folders / f"{family}-adapter", folders / family, tmp_path / "a", FACTS)

    stored = load_file(folders / f"{family}-adapter" / "adapter_model.safetensors")
    reader = gguf.GGUFReader(tmp_path / "a")
    read = {one.name: one.data for one in reader.tensors}
    assert len(read) == len(stored)
    layer = "base_model.model." + {
        "gpt2": "transformer.h.1.attn.c_attn", "llama": "model.layers.1.self_attn.q_proj"
    }[family]  # fmt: skip
    name = {"gpt2": "blk.1.attn_qkv.weight", "llama": "blk.1.attn_q.weight"}[family]
    after = stored[f"{layer}.lora_B.weight"].numpy()
    if family == "llama":  # four heads of eight rows, the halves of each beside each other
        order = [8 * head + row for head in range(4) for row in (0, 4, 1, 5, 2, 6, 3, 7)]
        after = after[order]
    np.testing.assert_array_equal(read[f"{name}.lora_a"], stored[f"{layer}.lora_A.weight"].numpy())
    np.testing.assert_array_equal(read[f"{name}.lora_b"], after)
    facts = read_gguf_head(tmp_path / "a").facts
    assert (facts["general.type"], facts["adapter.type"]) == ("adapter", "lora")
    assert facts["adapter.lora.alpha"] == 6.0
    assert facts[WEIGHTS_KEY] == open_folder(folders / family).weights_digest()


def test_an_alpha_of_rslora_is_scaled(folders, tmp_path):
    adapter = changed(folders, tmp_path, use_rslora=True)

    write_gguf_adapter(adapter, folders / "llama", tmp_path / "a.gguf", FACTS)

    assert read_gguf_head(tmp_path / "a.gguf").facts["adapter.lora.alpha"] == 12.0


def changed(folders, tmp_path, **changes):
    shutil.copytree(folders / "llama-adapter", tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}))
    return tmp_path / "adapter"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "lora_only"}, "bias"),
        ({"alpha_pattern": {"q_proj": 3}}, "alpha_pattern"),
        ({"rank_pattern": {"q_proj": 3}, "use_rslora": True}, "rank_pattern"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"target_parameters": ["experts"]}, "target_parameters"),
        ({"layer_replication": [[0, 1]]}, "layer_replication"),
        ({"peft_type": "IA3"}, "is no LoRA"),
    ],
)
def test_what_a_and_b_cannot_say_is_refused_with_what_to_do(changes, says, folders, tmp_path):
    adapter = changed(folders, tmp_path, **changes)

    with pytest.raises(ModelError, match=says) as error:
        write_gguf_adapter(adapter, folders / "llama", tmp_path / "a.gguf", FACTS)

    assert "[merged, gguf]" in error.value.hint
    assert not (tmp_path / "a.gguf").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("base_model.model.lm_head.lora_A.weight", "has as a weight of its own|does not have"),
        ("base_model.model.model.embed_tokens.lora_embedding_A", "neither A nor B"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", "neither A"),
    ],
)
def test_a_tensor_without_a_place_is_refused(
    name, says, tokenizer, tokenizer_folder, folders, tmp_path
):
    save("llama", tokenizer, tokenizer_folder, tmp_path / "tied", tie_word_embeddings=True)
    adapter = changed(folders, tmp_path)
    path = adapter / "adapter_model.safetensors"
    save_file({**load_file(path), name: torch.ones(4, 32)}, path)

    with pytest.raises(ModelError, match=says) as error:
        write_gguf_adapter(adapter, tmp_path / "tied", tmp_path / "a.gguf", FACTS)

    assert "[merged, gguf]" in error.value.hint


def test_a_base_in_quantised_weights_is_refused(folders, tmp_path):
    shutil.copytree(folders / "llama", tmp_path / "base")
    path = tmp_path / "base" / "config.json"
    quantised = {**json.loads(path.read_bytes()), "quantization_config": {"quant_method": "x"}}
    path.write_text(json.dumps(quantised))

    with pytest.raises(ModelError, match="quantised already"):
        write_gguf_adapter(folders / "llama-adapter", tmp_path / "base", tmp_path / "a", FACTS)


def test_an_adapter_is_of_one_base_and_not_of_another_with_its_shapes(
    folders, tokenizer, tokenizer_folder, template, tmp_path
):
    save("llama", tokenizer, tokenizer_folder, tmp_path / "other", seed=6)
    write_gguf_adapter(folders / "llama-adapter", folders / "llama", tmp_path / "a.gguf", FACTS)
    for name, folder in (("own", folders / "llama"), ("other", tmp_path / "other")):
        write_gguf(folder, template, tmp_path / f"{name}.gguf", "f16", FACTS)

    require_same_base(tmp_path / "a.gguf", tmp_path / "own.gguf")
    with pytest.raises(ArtifactError, match=r"a\.gguf was trained on the weights"):
        require_same_base(tmp_path / "a.gguf", tmp_path / "other.gguf")
