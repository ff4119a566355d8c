"""Attention as it is asked for, and code that comes with a model only where a recipe says so."""

import json

import pytest
import torch
from tests.models.tiny_models import build

from stillhouse.core.errors import ModelError
from stillhouse.models.load import LoadOptions, load_model, use_attention
from stillhouse.models.scratch import save_model
from stillhouse.models.source import open_folder

OWN_CODE = """
from transformers import Qwen3Config, Qwen3ForCausalLM


class OwnConfig(Qwen3Config):
    model_type = "own"


class OwnModel(Qwen3ForCausalLM):
    config_class = OwnConfig
"""
AUTO_MAP = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}


@pytest.fixture(scope="module")
def folders(tokenizer, tokenizer_folder, tmp_path_factory):
    root = tmp_path_factory.mktemp("options")
    for family in ("qwen3", "gpt_oss"):
        save_model(build(family, tokenizer), tokenizer_folder, root / family)
    own = root / "own"
    save_model(build("qwen3", tokenizer), tokenizer_folder, own)
    stated = json.loads((own / "config.json").read_text())
    stated |= {"model_type": "own", "architectures": ["OwnModel"], "auto_map": AUTO_MAP}
    (own / "config.json").write_text(json.dumps(stated))
    (own / "own.py").write_text(OWN_CODE)
    return root


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.arange(3, 20)[None]).logits


def test_attention_is_the_one_that_is_asked_for(folders):
    models = {
        name: load_model(folders / "qwen3", options=LoadOptions(attention=name))
        for name in ("auto", "eager", "sdpa")
    }
    assert models["eager"].config._attn_implementation == "eager"
    assert models["sdpa"].config._attn_implementation == "sdpa"
    torch.testing.assert_close(logits(models["eager"]), logits(models["sdpa"]))


@pytest.mark.parametrize(
    ("family", "attention"), [("gpt_oss", "sdpa"), ("qwen3", "flash_attention_2")]
)
def test_an_attention_that_is_not_there_is_refused_in_words(family, attention, folders):
    with pytest.raises(ModelError, match="attention") as caught:
        load_model(folders / family, options=LoadOptions(attention=attention))
    assert "auto" in caught.value.hint
    model = load_model(folders / family)
    with pytest.raises(ModelError, match=r"compute\.attention is not there for it"):
        use_attention(model, attention)


def test_a_model_that_was_built_here_takes_another_attention(folders):
    model = load_model(folders / "qwen3")
    use_attention(model, "eager")
    assert model.config._attn_implementation == "eager"


def test_code_of_a_model_is_run_only_where_the_recipe_says_so(folders, monkeypatch, tmp_path):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="needs Python code of its own") as caught:
        load_model(folders / "own")
    assert "trust_remote_code: true" in caught.value.hint

    ours = load_model(folders / "own", options=LoadOptions(trust_remote_code=True))

    assert type(ours).__name__ == "OwnModel"
    assert torch.equal(logits(ours), logits(load_model(folders / "qwen3")))


def test_code_of_a_model_is_part_of_its_digest(folders):
    before = open_folder(folders / "own").weights_digest()
    path = folders / "own" / "own.py"
    path.write_text(OWN_CODE + "\n# changed\n")
    assert open_folder(folders / "own").weights_digest() != before
