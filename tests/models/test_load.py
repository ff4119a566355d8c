import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tests.models.tiny_models import build
from transformers.utils import logging

from stillhouse.core.errors import CapacityError, ModelError
from stillhouse.models.load import load_model

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")


@pytest.fixture
def copy(folders, tmp_path):
    return shutil.copytree(folders["llama"], tmp_path / "model")


def edit_tensors(folder, change, name="model.safetensors"):
    tensors = load_file(folder / name)
    change(tensors)
    save_file(tensors, folder / name, metadata={"format": "pt"})


def refusal(folder, **options):
    with pytest.raises(ModelError) as caught:
        load_model(folder, **options)
    return str(caught.value)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_comes_back_in_the_asked_dtype_and_eval_mode(folders, dtype):
    model = load_model(folders["qwen3"], dtype=dtype)

    assert model.dtype == getattr(torch, dtype)
    assert not model.training


def test_loading_gives_back_the_saved_weights_and_the_logging(folders, tokenizer):
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()

    loaded = load_model(folders["llama"]).state_dict()

    saved = build("llama", tokenizer).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in saved.items())
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_a_missing_tensor_never_starts_at_random(copy):
    edit_tensors(copy, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))

    said = refusal(copy)

    assert "1 tensors are missing, first model.layers.1.mlp.up_proj.weight" in said


def test_a_tensor_that_the_architecture_does_not_know_is_refused(copy):
    edit_tensors(copy, lambda tensors: tensors.update({"model.extra.weight": torch.zeros(2)}))

    assert "1 tensors are unknown to the architecture, first model.extra.weight" in refusal(copy)


def test_a_tensor_of_another_shape_is_refused(copy):
    name = "model.layers.0.mlp.up_proj.weight"
    edit_tensors(copy, lambda tensors: tensors.update({name: torch.zeros(3, 3)}))

    assert "tensors have other shapes than its config.json says" in refusal(copy)


def test_weights_of_another_architecture_are_refused(copy, folders):
    shutil.copyfile(folders["gpt2"] / "model.safetensors", copy / "model.safetensors")

    assert "the weights are not those of its architecture" in refusal(copy)


def test_pickles_are_never_opened(copy):
    torch.save({}, copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()

    assert "pickle weights only" in refusal(copy)


def test_code_in_the_folder_is_not_run(copy):
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "own.py").write_text("raise SystemExit('it was run')")

    assert "needs Python code of its own" in refusal(copy)


def test_an_unknown_architecture_is_named(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "nonesuch"}))

    assert "cannot be loaded" in refusal(copy)


@pytest.fixture
def adapter(tokenizer, folders, tmp_path):
    torch.manual_seed(0)
    lora = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear")
    model = get_peft_model(load_model(folders["llama"]), lora)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    model.save_pretrained(tmp_path / "adapter")
    return model.eval(), tmp_path / "adapter"


def logits(model):
    return model(input_ids=torch.arange(5, 25)[None]).logits


def test_an_adapter_folder_loads_over_its_base(adapter, folders):
    model, folder = adapter

    by_config, by_argument = load_model(folder), load_model(folder, base=folders["llama"])

    assert torch.equal(logits(by_config), logits(model))
    assert torch.equal(logits(by_argument), logits(model))
    assert not torch.allclose(logits(by_config), logits(load_model(folders["llama"])))


def test_an_adapter_without_its_base_says_so(adapter):
    _, folder = adapter
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "gone/away"
    (folder / "adapter_config.json").write_text(json.dumps(config))

    assert "is an adapter over gone/away, which is no folder here" in refusal(folder)


def test_an_adapter_of_another_model_is_refused(adapter, folders):
    _, folder = adapter

    assert "the adapter" in refusal(folder, base=folders["gpt2"])


def test_a_torn_adapter_is_refused(adapter):
    _, folder = adapter
    edit_tensors(folder, lambda tensors: tensors.popitem(), "adapter_model.safetensors")
    assert "1 tensors are missing" in refusal(folder)

    (folder / "adapter_model.safetensors").unlink()
    assert "has no adapter_model.safetensors; a pickled adapter is never loaded" in refusal(folder)


def test_a_model_that_does_not_fit_says_so(folders, monkeypatch):
    def too_small(*_args, **_options):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr("transformers.LlamaForCausalLM.to", too_small)

    with pytest.raises(CapacityError, match="does not fit the memory of cpu"):
        load_model(folders["llama"])


def test_loading_an_adapter_never_asks_the_hub(adapter, folders, monkeypatch):
    _, folder = adapter
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "org/base"
    (folder / "adapter_config.json").write_text(json.dumps(config))
    asked = []
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **_options: asked.append(args))

    load_model(folder, base=folders["llama"])

    assert asked == []
