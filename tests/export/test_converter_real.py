"""Architectures that are not written here, through llama.cpp's own converter, and proved.

`STILLHOUSE_TEST_LLAMA_CPP` names the folder `vendor/llama.cpp` of llama-cpp-python's source
distribution. What was measured is printed; `make test-long` shows it.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tests.models.tiny_models import CONFIGS

from stillhouse.core.errors import ArtifactError, ModelError
from stillhouse.export.bundle import Student, export_student
from stillhouse.export.model_card import CardFacts
from stillhouse.models.scratch import build_scratch
from stillhouse.recipes.measuring import Gguf
from stillhouse.recipes.models import Scratch

if find_spec("llama_cpp") is None or not os.environ.get("STILLHOUSE_TEST_LLAMA_CPP"):
    pytest.skip("STILLHOUSE_TEST_LLAMA_CPP names no folder of llama.cpp", allow_module_level=True)
from tests.export.test_gguf_parity_real import order

pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("llama_cpp"),
    pytest.mark.filterwarnings("ignore"),
]
CONVERTER = os.environ.get("STILLHOUSE_TEST_LLAMA_CPP", "")
CARD = CardFacts("tiny", "tiny", "org/teacher", "org/base")
PLAIN = {key: value for key, value in CONFIGS["llama"].items() if key != "head_dim"}
SHAPES = {
    "gpt_oss": {**CONFIGS["gpt_oss"], "hidden_size": 64, "intermediate_size": 64, "head_dim": 16},
    "olmo2": PLAIN,
    "granite": PLAIN,
    "gemma3_text": {**CONFIGS["llama"], "query_pre_attn_scalar": 8},
}


def export(family, tokenizer, tokenizer_folder, template, out, weights, **changes):
    config = {**SHAPES.get(family, CONFIGS["llama"]), **changes}
    model = build_scratch(Scratch(model_type=family, config=config), tokenizer, seed=3)
    near = {name: 1.0 for name in weights if name != "f32"}
    files = Gguf(weights=weights, max_kl=near, llama_cpp_dir=CONVERTER)
    told = order(tokenizer, template, files=files, converter=Path(CONVERTER))
    student = Student(model, tokenizer_folder, "org/base", CARD, llama_cpp=told)
    return export_student(student, ("gguf",), out, [np.arange(5, 25, dtype=np.int32)])


@pytest.mark.parametrize("family", SHAPES)
def test_its_file_is_the_student(family, tokenizer, tokenizer_folder, template, tmp_path):
    # Gemma's GELU comes from a table in half precision there, too coarse for float32's limit.
    first = "f16" if family == "gemma3_text" else "f32"
    weights = (first, "q8_0", *(("mxfp4",) if family == "gpt_oss" else ()))
    report = export(family, tokenizer, tokenizer_folder, template, tmp_path, weights)
    for one in report.gguf:
        print(f"{family} {one.weights}: KL {one.mean_kl:.2g}, logits {one.max_abs_diff:.2g}, "
              f"{one.num_bytes} bytes {one.bytes_by_kind}")  # fmt: skip
    assert report.gguf[0].mean_kl <= 1e-4
    if family == "gpt_oss":
        assert "MXFP4" in report.gguf[2].bytes_by_kind
        assert report.gguf[2].num_bytes < report.gguf[1].num_bytes


def test_what_llama_cpp_computes_otherwise_is_drift(
    tokenizer, tokenizer_folder, template, tmp_path
):
    """Its Gemma scales queries by their width, whatever the config says."""
    with pytest.raises(ArtifactError, match="its mean KL to the student is") as error:
        export(
            "gemma3_text", tokenizer, tokenizer_folder, template, tmp_path, ("f32",),
            query_pre_attn_scalar=256,
        )  # fmt: skip
    print(error.value.message)
    assert not list((tmp_path / "gguf").glob("*.gguf"))


def test_what_the_converter_refuses_is_said_in_its_words(
    tokenizer, tokenizer_folder, template, tmp_path
):
    with pytest.raises(ModelError, match=r"llama\.cpp's converter refuses this gemma2") as error:
        export("gemma2", tokenizer, tokenizer_folder, template, tmp_path, ("f32",))
    print(error.value.message)
