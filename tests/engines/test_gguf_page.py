"""The page about GGUF teachers shows a program that works."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.models.tiny_models import build

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "gguf-teacher.md"


@pytest.mark.long
def test_the_program_of_the_page_runs(tokenizer, tokenizer_folder, tmp_path, monkeypatch, capsys):
    if not (find_spec("llama_cpp") and find_spec("gguf")):
        pytest.skip("make test-long installs llama-cpp-python and gguf")
    from tests.engines.gguf_files import write_gguf

    write_gguf(build("qwen3", tokenizer), tokenizer_folder, tmp_path / "teacher.gguf")
    shutil.copytree(tokenizer_folder, tmp_path / "tokenizer")
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)

    exec(compile(program, str(PAGE), "exec"), {})

    assert re.fullmatch(r"(stop|length) -\d+\.\d+\n", capsys.readouterr().out)
