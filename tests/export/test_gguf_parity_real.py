"""The parity gate in llama.cpp: what passes, and what each kind of drift is answered with."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tests.models.tiny_models import build, save
from tokenizers import AddedToken

from stillhouse.core.errors import ArtifactError, ModelError
from stillhouse.core.rows import Example, Message
from stillhouse.export.bundle import Student, export_student
from stillhouse.export.gguf_model import GgufFacts, write_gguf
from stillhouse.export.gguf_parity import check_gguf
from stillhouse.export.llama_cpp_order import LlamaCppOrder
from stillhouse.export.model_card import CardFacts
from stillhouse.export.reference import Reference
from stillhouse.models.load import load_model
from stillhouse.recipes.measuring import Gguf, Modelfile
from stillhouse.tokens.template import PlainTemplate
from stillhouse.tokens.tokenizer import load_tokenizer

if find_spec("llama_cpp") is None:
    pytest.skip("make test-long installs llama-cpp-python", allow_module_level=True)
from tests.export.test_gguf_llama_cpp import LARGEST

from stillhouse.engines.gguf_examiner import GgufExaminer

pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("llama_cpp"),
    pytest.mark.filterwarnings("ignore"),
]
CARD = CardFacts("tiny", "tiny", "org/teacher", "org/base")
EXAMPLES = [
    Example(f"e{number}", "holdout", (Message("user", text),), answer)
    for number, (text, answer) in enumerate(
        [("the quick brown fox", "jumps over"), ("über 🦊", "yes, no"), ("0123", "maybe")]
    )
]


@pytest.fixture
def made(tokenizer, tokenizer_folder, template, tmp_path):
    folder = save("llama", tokenizer, tokenizer_folder, tmp_path / "m", seed=9)
    student = Reference(load_model(folder), tokenizer, template, EXAMPLES)
    return folder, student, tmp_path / "s.gguf"


def check(path, student, weights="f32", max_kl=1e-5):
    with GgufExaminer(path, 1) as examiner:
        return check_gguf(examiner, path, weights, student, max_kl)


def test_a_file_of_the_student_passes(made):
    folder, student, path = made
    for weights, limit in (("f32", 1e-5), ("bf16", 1e-2), ("f16", 1e-3), ("q8_0", 0.1)):
        write_gguf(folder, student.template, path, weights, GgufFacts("s"))
        report = check(path, student, weights, limit)
        print(f"{weights}: KL {report.mean_kl:.2g}, logits {report.max_abs_diff:.2g}, "
              f"top-1 {report.top1_agreement:.3f}, answers {report.same_answers:.2f}")  # fmt: skip
        if weights == "f32":
            assert report.max_abs_diff <= LARGEST["llama"]
            assert report.same_answers == report.top1_agreement == 1.0


def test_another_template_is_drift(made):
    folder, student, path = made
    write_gguf(folder, PlainTemplate("<|end|>"), path, "f32", GgufFacts("s"))
    with pytest.raises(ArtifactError, match="chat template is not the student's"):
        check(path, student)


def test_other_weights_are_drift(made, tokenizer, tokenizer_folder, tmp_path):
    _, student, path = made
    other = save("llama", tokenizer, tokenizer_folder, tmp_path / "other", seed=10)
    write_gguf(other, student.template, path, "f32", GgufFacts("s"))
    with pytest.raises(ArtifactError, match="its mean KL to the student is"):
        check(path, student)


def test_a_flipped_byte_in_the_weights_is_drift(made):
    folder, student, path = made
    write_gguf(folder, student.template, path, "f32", GgufFacts("s"))
    data = bytearray(path.read_bytes())
    data[-4097] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(ArtifactError) as error:
        check(path, student)
    print(error.value.message)


def test_other_ids_are_drift(made, tokenizer_folder):
    folder, student, path = made
    write_gguf(folder, student.template, path, "f32", GgufFacts("s"))
    changed = load_tokenizer(tokenizer_folder)
    changed._backend.add_tokens([AddedToken("quick brown", normalized=False)])
    with pytest.raises(ArtifactError, match=r"token 2 of .* is 'Ġ', in llama\.cpp 'Ġqu'"):
        check(path, replace(student, tokenizer=changed))


def test_an_end_that_llama_cpp_goes_on_after_is_drift(made, tokenizer_folder):
    folder, student, path = made
    write_gguf(folder, student.template, path, "f32", GgufFacts("s"))
    changed = load_tokenizer(tokenizer_folder)
    changed.specials["eos_token"] = "<|system|>"
    with pytest.raises(ArtifactError, match=r"goes on after '<\|system\|>'"):
        check(path, replace(student, tokenizer=changed))


def order(tokenizer, template, **changes):
    told = {
        "name": "tiny", "licence": "apache-2.0", "base": "org/base", "whole": True,
        "adapter": False, "files": Gguf(weights=("f32", "q8_0"), max_kl={"q8_0": 0.2}),
        "modelfile": None,
        "tokenizer": tokenizer, "template": template, "examples": EXAMPLES, "threads": 1,
    }  # fmt: skip
    return LlamaCppOrder(**{**told, **changes})


def export(model, folder, formats, base=None, **told):
    student = Student(model, folder, "org/base", CARD, weights_folder=base, **told)
    probes = [np.arange(5, 25, dtype=np.int32)]
    return lambda out: export_student(student, formats, out, probes)


def adapted(folder, scale):
    torch.manual_seed(3)
    settings = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(load_model(folder), settings)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=scale)
    return model.eval()


def test_a_bundle_holds_what_was_asked_and_nothing_that_was_needed_for_it(
    made, tokenizer, tokenizer_folder, template, tmp_path
):
    folder, _, _ = made
    model = adapted(folder, 0.1)
    told = order(tokenizer, template, adapter=True, modelfile=Modelfile(name="ours"))

    report = export(
        model, tokenizer_folder, ("gguf", "gguf_adapter", "modelfile"), folder, llama_cpp=told
    )(tmp_path / "b")

    assert set(report.files) == {
        "README.md", "gguf/Modelfile", "gguf/tiny-F32.gguf", "gguf/tiny-Q8_0.gguf",
        "gguf/tiny-adapter.gguf",
    }  # fmt: skip
    whole, small, adapter = report.gguf
    assert max(whole.max_abs_diff, adapter.max_abs_diff) <= LARGEST["llama"]
    assert 0 < small.num_bytes < whole.num_bytes
    print([f"{one.file}: KL {one.mean_kl:.2g}" for one in report.gguf])


def test_an_adapter_that_changes_nothing_is_an_error(
    made, tokenizer, tokenizer_folder, template, tmp_path
):
    folder, _, _ = made
    told = order(tokenizer, template, whole=False, adapter=True)

    with pytest.raises(ArtifactError, match="changes nothing"):
        export(adapted(folder, 0.0), tokenizer_folder, ("gguf_adapter",), folder, llama_cpp=told)(
            tmp_path / "b"
        )


def test_a_drifting_file_is_deleted(made, tokenizer, tokenizer_folder, template, tmp_path):
    folder, _, _ = made
    told = order(tokenizer, template, files=Gguf(weights=("q4_k_m",), max_kl={"q4_k_m": 0.0}))

    with pytest.raises(ArtifactError, match="its mean KL"):
        export(load_model(folder), tokenizer_folder, ("gguf",), llama_cpp=told)(tmp_path / "b")

    assert not [path for path in (tmp_path / "b").rglob("*") if path.is_file()]


def test_added_tokens_are_refused_for_an_adapter(
    made, tokenizer, tokenizer_folder, template, tmp_path
):
    folder, _, _ = made
    other = load_tokenizer(tokenizer_folder)
    other._backend.add_tokens(["<new>"])
    told = order(other, template, whole=False, adapter=True)

    with pytest.raises(ModelError, match="tokens were added"):
        export(adapted(folder, 0.1), tokenizer_folder, ("gguf_adapter",), folder, llama_cpp=told)(
            tmp_path / "b"
        )


def test_a_student_in_memory_alone_is_written_too(tokenizer, tokenizer_folder, template, tmp_path):
    model = build("gpt2", tokenizer, seed=2)
    told = order(tokenizer, template, files=Gguf(weights=("f32",)))

    report = export(model, tokenizer_folder, ("gguf",), llama_cpp=told)(tmp_path / "b")

    assert report.gguf[0].max_abs_diff <= LARGEST["gpt2"]
