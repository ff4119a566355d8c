"""What cannot ship is refused before anything is trained for it."""

import json
from pathlib import Path

import pytest
import yaml
from tests.models.tiny_models import save

from stillhouse.core.errors import RecipeError
from stillhouse.runner.check import check
from stillhouse.runner.opening import named_place, open_recipe
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


def test_an_export_is_of_all_the_code_that_its_converter_runs(tmp_path):
    written = {"formats": ["gguf"], "gguf": {"llama_cpp_dir": "llama.cpp"}}
    names = ("convert_hf_to_gguf.py", "conversion/base.py", "gguf-py/gguf/quants.py")
    for name in names:
        (tmp_path / "llama.cpp" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "llama.cpp" / name).touch()

    def planned():
        return resolved(tmp_path, written, "mistral").plan["export"].artifact_id

    found = [planned()]
    (tmp_path / "llama.cpp" / "README.md").write_text("other words")
    assert planned() == found[0]
    for name in names:
        (tmp_path / "llama.cpp" / name).write_text("# other code\n")
        found.append(planned())
    assert len(set(found)) == 1 + len(names)


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


def checked(folder, export, **sections):
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(RECIPE | {"export": export} | sections, indent=1))
    place = named_place(str(folder / "runs"), "tiny")
    return check(resolve(*open_recipe(str(path))), place)


@pytest.mark.parametrize("form", ["gguf", "merged"])
def test_a_tokenizer_that_llama_cpp_does_not_have_is_refused_before_anything_is_trained(
    tmp_path, tokenizer, tokenizer_folder, form
):
    folder = save("llama", tokenizer, tokenizer_folder, tmp_path / "model")
    told = json.loads((folder / "tokenizer.json").read_text())
    told["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "[aeiou]"}, "behavior": "Isolated",
         "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
         "use_regex": False},
    ]}  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(told))
    models = {"teacher": {"path": str(folder)}, "student": {"path": str(folder)}}
    template = {"user": "U: {content}\n", "assistant": "A: {content}"}
    for one in models.values():
        one["template"] = template
    if form == "merged":
        assert checked(tmp_path, {"formats": [form]}, **models).parts
        return
    with pytest.raises(RecipeError, match=r"\d+ export\.formats: this tokenizer cuts texts by"):
        checked(tmp_path, {"formats": [form]}, **models)


@pytest.mark.parametrize("is_told", [True, False])
def test_a_template_that_ollama_cannot_be_told_is_refused_before_anything_is_trained(
    tmp_path, tokenizer, tokenizer_folder, is_told
):
    folder = save("llama", tokenizer, tokenizer_folder, tmp_path / "model")
    shouted = "(m['content'] | upper if m['role'] == 'user' else m['content'])"
    content = "m['content']" if is_told else shouted
    template = (
        "{% for m in messages %}{{ '<|' + m['role'] + '|>' + " + content + " + '<|end|>' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
    for name in ("chat_template.jinja", "chat_template.json"):
        (folder / name).unlink(missing_ok=True)
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"chat_template": template}))
    models = {name: {"path": str(folder)} for name in ("teacher", "student")}
    if is_told:
        assert checked(tmp_path, FOR_OLLAMA, **models).parts
        return
    with pytest.raises(RecipeError, match=r"\d+ export\.modelfile: "):
        checked(tmp_path, FOR_OLLAMA, **models)


def test_a_missing_llama_cpp_is_told_by_check(tmp_path, monkeypatch):
    monkeypatch.setattr("stillhouse.runner.extras.GGUF", ("gguf", "no_such_llama"))
    found = checked(tmp_path, FOR_OLLAMA)
    assert any("no_such_llama is not installed" in one for one in found.cautions)
    assert not any("not installed" in one for one in checked(tmp_path, {}).cautions)
