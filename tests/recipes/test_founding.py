"""The built-in recipes: every file loads, and the five large ones say what they say."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from stillhouse.recipes.built import not_built
from stillhouse.recipes.facts import facts_for, refuse_known_bad
from stillhouse.recipes.schema import Recipe

LIBRARY = Path(str(resources.files("stillhouse.recipes"))) / "library"
FILES = sorted(LIBRARY.rglob("*.yaml"))
FOUNDING = ("accounting-qa", "neurons", "prompt-transform", "songs", "songs-sft")


def read(path: Path) -> dict:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def recipe(name: str, **sections: object) -> Recipe:
    data = read(LIBRARY / f"{name}.yaml") | sections
    return Recipe.model_validate_json(json.dumps(data))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_built_in_recipe_is_valid_and_named_like_its_file(path):
    loaded = Recipe.model_validate_json(json.dumps(read(path)))
    assert loaded.name == path.stem.replace(".", "-")
    assert loaded.description


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_built_in_recipe_fits_one_screen_beside_its_corrections(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) - _num_lines_of_corrections(lines) <= 80
    assert max(map(len, lines)) <= 110


def _num_lines_of_corrections(lines: list[str]) -> int:
    if "corrections:" not in (line.split(" ")[0] for line in lines):
        return 0
    first = next(number for number, line in enumerate(lines) if line.startswith("corrections:"))
    rest = lines[first + 1 :]
    return 1 + next(number for number, line in enumerate(rest) if not line.startswith(" "))


@pytest.mark.parametrize("name", FOUNDING)
def test_every_hub_model_is_pinned_to_the_commit_of_the_facts(name):
    loaded = recipe(name)
    for source in (loaded.teacher, loaded.student):
        refuse_known_bad(source.hub)
        assert source.revision == facts_for(source.hub).revision


@pytest.mark.parametrize("name", FOUNDING)
def test_every_teacher_may_train_another_model(name):
    assert facts_for(recipe(name).teacher.hub).terms.outputs == "yes"


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("songs", set()),
        ("songs-sft", set()),
        ("accounting-qa", set()),
        ("prompt-transform", set()),
        ("neurons", set()),
    ],
)
def test_each_large_recipe_names_all_that_it_waits_for(name, keys):
    assert {one.key for one in not_built(recipe(name))} == keys


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_other_built_in_recipe_runs_as_it_is(path):
    if path.stem not in FOUNDING:
        assert not_built(Recipe.model_validate_json(json.dumps(read(path)))) == []


def test_songs_distils_verdicts_at_temperature_four():
    loaded = recipe("songs")
    training = loaded.train
    # 0.7 and 0.3 of a song: one term is a mean over songs, the other over about 100 tokens of each.
    assert (training.weights.class_kl, training.weights.cross_entropy) == (0.7, 0.3)
    assert (training.kd_temperature, training.t2_scaling) == (4.0, True)
    assert (training.optimizer.learning_rate, training.length.steps) == (1e-5, 100)
    assert loaded.label.class_field == "verdict"
    assert len(loaded.label.classes) == 4
    teacher = loaded.finetune
    assert teacher.optimizer.galore.rank == 512
    steps = teacher.length.num_steps(1332)
    assert teacher.optimizer.galore.update_gap < steps == 133
    assert teacher.length.num_epochs(1332) == pytest.approx(0.8, abs=0.005)
    assert teacher.optimizer.learning_rate == 2e-5
    assert teacher.length.batch_size * teacher.length.accumulation == 8
    assert loaded.prepare.split.parts["holdout"] == 200


def test_songs_sft_learns_annotations_alone():
    training = recipe("songs-sft").train
    assert (training.weights.forward_kl, training.weights.cross_entropy) == (0.0, 1.0)
    assert (training.lora.rank, training.lora.alpha, training.lora.dropout) == (16, 32.0, 0.1)
    assert (training.optimizer.learning_rate, training.optimizer.warmup_steps) == (2e-4, 500)
    assert training.length.batch_size * training.length.accumulation == 64
    assert (training.length.epochs, training.length.checkpoint_every) == (3.0, 1000)
    assert training.validation.every_steps == 500


def test_accounting_qa_keeps_the_values_that_a_search_had_found():
    loaded = recipe("accounting-qa")
    training = loaded.train
    assert training.weights.cross_entropy == 0.4664161814771782
    assert training.weights.forward_kl == 0.20806809509719452
    assert (training.kd_temperature, training.t2_scaling) == (0.7, False)
    assert training.optimizer.learning_rate == 6.795e-05
    assert training.length.batch_size * training.length.accumulation == 256
    assert training.early_stopping.patience == 4
    assert loaded.compute.dtype == "bfloat16"
    assert loaded.prepare.max_tokens == 512
    assert loaded.teacher.template == loaded.student.template
    teacher, student = facts_for(loaded.teacher.hub), facts_for(loaded.student.hub)
    assert round(1 - student.parameters / teacher.parameters, 3) == 0.894


def test_prompt_transform_trains_a_four_bit_adapter_on_texts():
    loaded = recipe("prompt-transform")
    training = loaded.train
    assert loaded.student.quantization == "nf4"
    assert (training.lora.rank, training.lora.alpha, training.lora.dropout) == (32, 64.0, 0.0)
    assert len(training.lora.modules) == 7
    assert (training.length.batch_size, training.length.accumulation) == (2, 8)
    assert training.length.epochs <= 3.0
    assert (training.optimizer.learning_rate, training.optimizer.schedule) == (2e-4, "cosine")
    assert (loaded.label.targets, loaded.label.temperature) == ("none", 0.7)
    assert loaded.prepare.max_tokens == 2048
    modelfile = loaded.export.modelfile
    assert (modelfile.name, modelfile.temperature, modelfile.top_p) == (
        "qwen3:4b-ai4artsed-v1", 0.7, 0.8,
    )  # fmt: skip


def test_the_teacher_behind_an_api_that_a_comment_shows_is_a_valid_teacher():
    # Given the commented lines of the recipe, when they replace the open teacher, it is valid.
    text = (LIBRARY / "prompt-transform.yaml").read_text(encoding="utf-8")
    shown = text[text.index("  # api:") : text.index("student:")].replace("  # ", "  ")
    teacher = YAML(typ="safe", pure=True).load(shown)

    loaded = recipe("prompt-transform", teacher=teacher)

    assert loaded.teacher.api.budget_usd == 90.0
    assert "teacher.api" not in {one.key for one in not_built(loaded)}


def test_neurons_trains_six_domains_with_the_teachers_probabilities():
    loaded = recipe("neurons")
    training = loaded.train
    assert tuple(loaded.domains) == ("thinking", "task", "action", "reflection", "debug", "memory")
    assert (training.weights.forward_kl, training.weights.cross_entropy) == (0.7, 0.3)
    assert (training.length.steps, training.optimizer.learning_rate) == (200, 1e-4)
    assert 0.5 <= training.kd_temperature <= 10.0
    assert training.optimizer.weight_decay == 0.0
    assert loaded.finetune is None
    teacher, student = facts_for(loaded.teacher.hub), facts_for(loaded.student.hub)
    assert teacher.shape.tokenizer == student.shape.tokenizer


@pytest.mark.parametrize(
    "export",
    [{"formats": ["modelfile"]}, {"formats": ["merged"], "modelfile": {"name": "m"}}],
)
def test_a_modelfile_is_asked_for_and_described_together(export):
    with pytest.raises(ValidationError, match="go together"):
        recipe("neurons", export=export)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_key_is_written_into_a_recipe(path):
    text = path.read_text(encoding="utf-8").lower()
    assert "sk-" not in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("export", "says"),
    [
        ({"formats": ["merged"], "gguf": {}}, "is of the formats gguf and gguf_adapter"),
        ({"formats": ["gguf"], "gguf": {"weights": ["f16", "f16"]}}, "one is there twice"),
        (
            {"formats": ["gguf", "modelfile"], "modelfile": {"name": "m", "base": "qwen3:4b"}},
            "with a base tells Ollama of the format gguf_adapter",
        ),
        (
            {"formats": ["gguf", "modelfile"], "modelfile": {"name": "m", "weights": "q4_k_m"}},
            "none of export.gguf.weights",
        ),
        ({"formats": ["gguf", "modelfile"], "modelfile": {"name": "m\nFROM x"}}, "name"),
    ],
)
def test_forms_for_llama_cpp_fit_together(export, says):
    with pytest.raises(ValidationError, match=says):
        recipe("neurons", export=export)
