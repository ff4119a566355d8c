import pytest
import torch
from tests.models.tiny_models import CONFIGS, build
from transformers import AutoModelForCausalLM, AutoTokenizer

from stillhouse.core.errors import ModelError
from stillhouse.core.hashing import digest_folder
from stillhouse.models.scratch import build_scratch, save_model
from stillhouse.recipes.models import Scratch


def refusal(model_type, tokenizer, **config):
    with pytest.raises(ModelError) as caught:
        build_scratch(Scratch(model_type=model_type, config=config), tokenizer, seed=0)
    return str(caught.value)


def test_one_seed_gives_one_model_and_leaves_the_random_state(tokenizer):
    state = torch.get_rng_state()

    first, again, other = (build("llama", tokenizer, seed) for seed in (3, 3, 4))

    weights = [model.model.layers[1].mlp.down_proj.weight for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("family", CONFIGS)
def test_a_saved_model_is_an_ordinary_folder(folders, tokenizer, family):
    model = AutoModelForCausalLM.from_pretrained(folders[family])
    loaded = AutoTokenizer.from_pretrained(folders[family])

    text = "the quick answer<|end|> has a\n\nreason"
    assert loaded(text)["input_ids"] == tokenizer.encode(text)[0].tolist()
    assert model.config.eos_token_id == tokenizer.eos_id == loaded.eos_token_id
    assert model.config.pad_token_id == tokenizer.pad_id


def test_saving_twice_gives_equal_bytes(tokenizer, tokenizer_folder, tmp_path):
    for name in ("one", "two"):
        save_model(build("qwen3", tokenizer, 1), tokenizer_folder, tmp_path / name)

    assert digest_folder(tmp_path / "one") == digest_folder(tmp_path / "two")


def test_saving_needs_a_tokenizer(tokenizer, tmp_path):
    with pytest.raises(ModelError, match=r"has no tokenizer\.json"):
        save_model(build("qwen3", tokenizer), tmp_path, tmp_path / "model")


def test_an_unknown_model_type_names_the_nearest(tokenizer):
    said = refusal("qwen33", tokenizer)

    assert "scratch.model_type: 'qwen33' is unknown" in said
    assert "qwen3" in said.splitlines()[1]


def test_an_unknown_config_key_names_the_nearest(tokenizer):
    assert "did you mean hidden_size" in refusal("qwen3", tokenizer, hiden_size=32)
    assert "known are" in refusal("qwen3", tokenizer, zzzz=32)


def test_a_value_of_the_wrong_type_is_named(tokenizer):
    said = refusal("qwen3", tokenizer, hidden_size="wide")

    assert "scratch.config does not suit qwen3" in said
    assert "hidden_size" in said


def test_sizes_that_do_not_fit_are_refused(tokenizer):
    said = refusal("gpt2", tokenizer, n_embd=30, n_head=4)

    assert "no gpt2 model can be built from scratch.config" in said


def test_a_vocabulary_below_the_tokenizer_is_refused(tokenizer):
    said = refusal("qwen3", tokenizer, vocab_size=280)

    assert "vocab_size is 280, but the tokenizer has 300 ids" in said
