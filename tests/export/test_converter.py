"""llama.cpp's own converter as a program: what it is given, and what its refusal says."""

import json

import pytest
from tests.models.tiny_models import save

from stillhouse.core.errors import ModelError
from stillhouse.export.converter import convert_folder
from stillhouse.export.gguf_architectures import require_written
from stillhouse.recipes.measuring import Gguf
from stillhouse.tokens.jinja import jinja_of
from stillhouse.tokens.template import PlainTemplate


@pytest.fixture
def merged(tokenizer, tokenizer_folder, tmp_path):
    return save("llama", tokenizer, tokenizer_folder, tmp_path / "merged")


def program(folder, text):
    """A folder with a program of the converter's name."""
    folder.mkdir()
    (folder / "convert_hf_to_gguf.py").write_text("import sys\n" + text)
    return folder


WRITE = """
from pathlib import Path
source, out = Path(sys.argv[1]), Path(sys.argv[sys.argv.index('--outfile') + 1])
out.write_text((source / 'chat_template.jinja').read_text() + '\\0' + sys.argv[-1]
               + '\\0' + (source / 'tokenizer_config.json').read_text())
"""


def test_it_is_given_the_template_that_the_student_learned_with(merged, tmp_path):
    folder = program(tmp_path / "llama.cpp", WRITE)
    before = sorted(path.name for path in merged.iterdir())

    convert_folder(merged, PlainTemplate("<|end|>"), tmp_path / "o" / "m.gguf", "f16", folder)

    template, weights, config = (tmp_path / "o" / "m.gguf").read_text().split("\0")
    assert template == jinja_of(PlainTemplate("<|end|>"))
    assert weights == "f16"
    assert "chat_template" not in json.loads(config)
    assert sorted(path.name for path in merged.iterdir()) == before


def test_its_refusal_is_told_and_leaves_nothing(merged, template, tmp_path):
    folder = program(
        tmp_path / "llama.cpp", "raise NotImplementedError('Model LlamaX is not supported')"
    )
    with pytest.raises(ModelError) as error:
        convert_folder(merged, template, tmp_path / "o" / "m.gguf", "f16", folder)
    assert "refuses this llama (code 1)" in error.value.message
    assert "Model LlamaX is not supported" in error.value.message
    assert list((tmp_path / "o").iterdir()) == []


def test_a_converter_that_writes_nothing_is_refused_too(merged, template, tmp_path):
    folder = program(tmp_path / "llama.cpp", "")
    with pytest.raises(ModelError, match="it does not say why"):
        convert_folder(merged, template, tmp_path / "m.gguf", "f16", folder)


def test_a_folder_without_it_is_refused(merged, template, tmp_path):
    with pytest.raises(ModelError, match="has no convert_hf_to_gguf"):
        convert_folder(merged, template, tmp_path / "m.gguf", "f16", tmp_path)


@pytest.mark.parametrize(
    ("config", "files", "why"),
    [
        ({"model_type": "gemma3_text"}, {}, "gemma3_text models are not written as GGUF"),
        (
            {"model_type": "gemma3_text"},
            {"llama_cpp_dir": "x", "weights": ("mxfp4",)},
            "gemma3_text has none",
        ),
        (
            {"model_type": "gpt_oss", "num_local_experts": 4},
            {"llama_cpp_dir": "x", "weights": ("q4_k_m",), "importance": True},
            "not of gpt_oss",
        ),
    ],
)
def test_what_cannot_be_written_is_refused_before_a_run(config, files, why):
    with pytest.raises(ModelError, match=why):
        require_written(config, Gguf(**files))


def test_a_mixture_is_left_to_the_converter():
    config = {"model_type": "gpt_oss", "num_local_experts": 4}
    require_written(config, Gguf(llama_cpp_dir="x", weights=("mxfp4",)))
