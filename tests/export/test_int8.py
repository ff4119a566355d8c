"""A student in 8 bits: its files, its distance to the student, and what cannot be written so."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tests.models.tiny_models import build, save
from transformers import AutoModelForCausalLM

from stillhouse.core.errors import ArtifactError, DiskFullError, ModelError, UsageError
from stillhouse.core.rows import Example, Message
from stillhouse.export.bundle import Student, export_student
from stillhouse.export.int8 import check_int8, write_int8
from stillhouse.export.int8_order import Int8Order, require_linear
from stillhouse.export.model_card import CardFacts
from stillhouse.export.reference import Reference
from stillhouse.models.load import load_model
from stillhouse.models.quantised import held_bytes, is_quantised, parameter_count
from stillhouse.recipes.export_bytes import int8_bytes
from stillhouse.recipes.measuring import Int8
from stillhouse.recipes.sizes import sizes_of

CARD = CardFacts("tiny", "tiny", "org/teacher", "org/base")
EXAMPLES = [
    Example(f"e{number}", "holdout", (Message("user", text),), answer)
    for number, (text, answer) in enumerate([("the quick brown fox", "jumps"), ("über 🦊", "yes")])
]
PROBES = [np.arange(5, 25, dtype=np.int32)]
NEAR = Int8(max_kl=0.05)
"""Random weights of deviation 0.3 are further from their rounding than trained ones."""


@pytest.fixture(scope="module")
def made(tokenizer, tokenizer_folder, template, tmp_path_factory):
    """A student's folder, the student to be answered like, and its form in 8 bits."""
    root = tmp_path_factory.mktemp("int8")
    folder = save("qwen3", tokenizer, tokenizer_folder, root / "m", seed=9)
    student = Reference(load_model(folder), tokenizer, template, EXAMPLES, 8)
    write_int8(folder, root / "int8")
    return folder, student, root / "int8"


def header(path):
    with safe_open(path, "pt") as stored:
        return {key: stored.get_slice(key).get_dtype() for key in stored.keys()}  # noqa: SIM118


def test_its_matrices_are_bytes_and_its_size_is_what_check_says(made):
    folder, _, int8 = made
    kinds = header(int8 / "model.safetensors")
    matrices = [name for name in kinds if name.endswith("_proj._weight_qdata")]
    config = json.loads((folder / "config.json").read_bytes())

    assert {kinds[name] for name in matrices} == {"I8"}
    assert len(matrices) == 14
    assert {kinds[name] for name in kinds if "norm" in name or "embed" in name} == {"BF16"}
    stored = (int8 / "model.safetensors").stat().st_size
    assert stored - _header_bytes(int8) == int8_bytes(sizes_of(config))
    assert not [path for path in int8.iterdir() if path.suffix in (".bin", ".pt", ".pkl")]


def _header_bytes(folder):
    with (folder / "model.safetensors").open("rb") as stream:
        return 8 + int.from_bytes(stream.read(8), "little")


def test_transformers_and_our_loader_load_the_same_model(made, tokenizer):
    _, student, int8 = made
    theirs = AutoModelForCausalLM.from_pretrained(int8, dtype=torch.bfloat16).eval()
    ours = load_model(int8, dtype="bfloat16")
    ids = torch.from_numpy(PROBES[0]).long()[None]

    with torch.no_grad():
        assert torch.equal(theirs(input_ids=ids).logits, ours(input_ids=ids).logits)
    assert is_quantised(ours)
    assert parameter_count(ours) == parameter_count(student.model)
    assert held_bytes(ours) == int8_bytes(sizes_of(ours.config.to_dict()))


def test_equal_weights_give_equal_bytes(made, tmp_path):
    folder, _, int8 = made
    assert write_int8(folder, tmp_path / "again") == 14
    for path in int8.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_it_is_near_to_its_student_and_not_the_same(made):
    _, student, int8 = made
    report = check_int8(int8, 14, student, NEAR)
    assert 0.0 < report.mean_kl <= NEAR.max_kl
    assert report.max_abs_diff > 0.0
    assert report.num_bytes == (int8 / "model.safetensors").stat().st_size


def test_other_weights_are_drift(made, tokenizer, tokenizer_folder, tmp_path):
    _, student, _ = made
    other = save("qwen3", tokenizer, tokenizer_folder, tmp_path / "other", seed=10)
    write_int8(other, tmp_path / "int8")
    with pytest.raises(ArtifactError, match=r"int8 is not the student.* mean KL .* nats a token"):
        check_int8(tmp_path / "int8", 14, student, NEAR)


@pytest.mark.parametrize(
    ("family", "why"), [("gpt2", "Conv1D"), ("gpt_oss", "experts of num_local_experts")]
)
def test_what_torchao_would_pass_over_is_refused(
    family, why, tokenizer, tokenizer_folder, tmp_path
):
    folder = save(family, tokenizer, tokenizer_folder, tmp_path / "m")
    with pytest.raises(ModelError, match=why) as error:
        write_int8(folder, tmp_path / "int8")
    assert "q8_0" in error.value.hint
    assert not (tmp_path / "int8").exists()


def test_a_matrix_that_no_table_knows_is_refused_by_its_name(made, tmp_path, monkeypatch):
    folder, _, _ = made
    kind = type(load_model(folder))
    build_layers = kind.__init__

    def with_a_matrix(self, config):
        build_layers(self, config)
        self.model.layers[0].odd = torch.nn.Parameter(torch.ones(4, 4))

    monkeypatch.setattr(kind, "__init__", with_a_matrix)
    with pytest.raises(ModelError, match=r"model\.layers\.0\.odd is no weight of a linear layer"):
        write_int8(folder, tmp_path / "int8")


def test_encoder_decoders_are_refused_before_a_run():
    with pytest.raises(ModelError, match="encoder-decoders are not compared in 8 bits"):
        require_linear({"model_type": "t5"})


def test_a_bundle_of_int8_alone_holds_nothing_else(tokenizer, tokenizer_folder, template, tmp_path):
    model = build("llama", tokenizer, seed=4)
    order = Int8Order(NEAR, tokenizer, template, EXAMPLES, 8)
    student = Student(model, tokenizer_folder, "org/base", CARD, int8=order)

    report = export_student(student, ("int8",), tmp_path / "b", PROBES)

    folders = {name.split("/")[0] for name in report.files}
    assert folders == {"README.md", "int8"}
    assert report.int8.num_layers == 14


def test_without_its_order_int8_is_refused(tokenizer, tokenizer_folder, tmp_path):
    student = Student(build("llama", tokenizer), tokenizer_folder, "org/base", CARD)
    with pytest.raises(UsageError, match="the format int8 needs the template"):
        export_student(student, ("int8",), tmp_path / "b", PROBES)


def test_without_torchao_the_extra_is_named(made, tmp_path, monkeypatch):
    folder, _, _ = made
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError) as error:
        write_int8(folder, tmp_path / "int8")
    assert "stillhouse[int8]" in error.value.hint


def test_a_full_disk_says_so(made, tmp_path, monkeypatch):
    folder, _, _ = made

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stillhouse.export.int8._order_header", full)
    with pytest.raises(DiskFullError):
        write_int8(folder, tmp_path / "int8")


def test_a_torn_file_is_refused(made, tmp_path):
    _, student, int8 = made
    torn = tmp_path / "int8"
    torn.mkdir()
    for path in int8.iterdir():
        (torn / path.name).write_bytes(path.read_bytes())
    whole = (torn / "model.safetensors").read_bytes()
    (torn / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(ModelError, match=r"model\.safetensors|not fully covered"):
        check_int8(torn, 14, student, NEAR)
