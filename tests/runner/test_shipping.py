"""What cannot ship is refused before anything is trained for it."""

import json
from pathlib import Path

import pytest
import yaml

from stillhouse.core.errors import RecipeError
from stillhouse.runner.opening import open_recipe
from stillhouse.runner.resolve import resolve

RECIPE = yaml.safe_load((Path(__file__).parents[1] / "e2e" / "tiny.yaml").read_text())
FOR_OLLAMA = {"formats": ["gguf", "modelfile"], "modelfile": {"name": "small"}}


def resolved(folder, export, kind="qwen3", **config):
    scratch = RECIPE["student"]["scratch"]
    student = {"scratch": {"model_type": kind, "config": scratch["config"] | config}}
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(RECIPE | {"student": student, "export": export}, indent=1))
    return resolve(*open_recipe(str(path)))


@pytest.mark.parametrize("form", ["gguf", "merged"])
def test_an_architecture_is_asked_of_llama_cpp_alone(tmp_path, form):
    if form == "merged":
        assert resolved(tmp_path, {"formats": [form]}, "mistral").student is None
        return
    with pytest.raises(RecipeError, match=r"\d+ export.formats: mistral models are not") as error:
        resolved(tmp_path, {"formats": [form]}, "mistral")
    assert "export.gguf.llama_cpp_dir" in error.value.hint
    missing = {"formats": [form], "gguf": {"llama_cpp_dir": "llama.cpp"}}
    with pytest.raises(RecipeError, match=r"llama\.cpp has no convert_hf_to_gguf\.py"):
        resolved(tmp_path, missing, "mistral")
    (tmp_path / "llama.cpp").mkdir()
    (tmp_path / "llama.cpp" / "convert_hf_to_gguf.py").touch()
    found = resolved(tmp_path, missing, "mistral")
    assert found.locations["llama_cpp"] == str(tmp_path / "llama.cpp")
    assert str(tmp_path) not in json.dumps(found.plan["export"].config)


def test_int8_is_refused_for_what_torchao_passes_over(tmp_path):
    with pytest.raises(RecipeError, match=r"gpt2 cannot be written as int8: .*Conv1D"):
        resolved(tmp_path, {"formats": ["int8"]}, "gpt2")


@pytest.mark.parametrize(
    "config",
    [
        {"attention_bias": True},
        {"hidden_act": "gelu"},
        {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}},
    ],
)
def test_a_config_that_llama_cpp_computes_otherwise_is_refused(tmp_path, config):
    with pytest.raises(RecipeError, match=r"export\.formats: "):
        resolved(tmp_path, FOR_OLLAMA, **config)


def test_a_system_text_that_no_modelfile_holds_is_refused(tmp_path):
    resolved(tmp_path, FOR_OLLAMA)
    told = {**FOR_OLLAMA, "modelfile": {"name": "small", "system": 'a"""\nFROM other'}}
    with pytest.raises(RecipeError, match=r"export\.modelfile\.system: a line ends in"):
        resolved(tmp_path, told)


def test_a_form_is_asked_for_once(tmp_path):
    with pytest.raises(RecipeError, match="formats: one is there twice"):
        resolved(tmp_path, {"formats": ["merged", "merged"]})
