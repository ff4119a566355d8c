"""A model out of chosen layers computes what the whole one does where the others do nothing."""

import pytest
import torch
from tests.models.tiny_models import CONFIGS, build

from stillhouse.core.errors import ModelError
from stillhouse.models.layers import take_layers
from stillhouse.models.load import load_model
from stillhouse.models.scratch import save_model

LAST = ("o_proj", "c_proj", "down_proj")
"""What writes into the stream that goes around a layer."""
THREE = {"gpt2": {"n_layer": 3}}


def of_three(family, tokenizer):
    changes = THREE.get(family, {"num_hidden_layers": 3})
    if family == "gpt_oss":
        changes |= {"layer_types": ["sliding_attention", "sliding_attention", "full_attention"]}
        changes |= {"sliding_window": 4}
    return build(family, tokenizer, **changes)


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.arange(3, 20)[None]).logits


@pytest.mark.parametrize("family", CONFIGS)
def test_chosen_layers_are_the_whole_model_where_the_others_do_nothing(family, tokenizer):
    whole = of_three(family, tokenizer)
    before = logits(whole)
    for name, parameter in whole.named_parameters():
        if ".1." in name and any(part in name for part in LAST):
            parameter.data.zero_()

    small = take_layers(whole, (0, 2))

    assert torch.equal(logits(small), logits(whole))
    assert not torch.allclose(logits(small), before)
    assert small.config.num_hidden_layers == 2
    types = {"gpt_oss": ["sliding_attention", "full_attention"], "qwen3": ["full_attention"] * 2}
    assert getattr(small.config, "layer_types", None) == types.get(family)
    whole.get_output_embeddings().weight.data.zero_()
    assert logits(small).any()


@pytest.mark.parametrize("family", CONFIGS)
def test_they_are_an_ordinary_model_on_disk(family, tokenizer, tokenizer_folder, tmp_path):
    small = take_layers(of_three(family, tokenizer), (1,))
    save_model(small, tokenizer_folder, tmp_path)
    again = load_model(tmp_path)
    assert torch.equal(logits(again), logits(small))
    ids = torch.arange(3, 8)[None]
    options = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(again.generate(ids, **options), small.generate(ids, **options))


def test_layers_that_are_not_there_are_refused(tokenizer):
    with pytest.raises(ModelError, match="names 3, 7, but the teacher has the layers 0 to 2"):
        take_layers(of_three("qwen3", tokenizer), (0, 3, 7))
    scaled = build("gpt2", tokenizer, scale_attn_by_inverse_layer_idx=True)
    with pytest.raises(ModelError, match="scaled by a layer's number"):
        take_layers(scaled, (1,))
