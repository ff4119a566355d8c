"""Architectures that are not written here, by the converter of a llama.cpp folder of the user's.

`convert_hf_to_gguf.py` is a program of llama.cpp's own; it runs in a process of its own, with the
packages of this environment and without network. It knows a tokenizer by a hash of one text, so
that it refuses each student with a vocabulary of its own: where the rules of a tokenizer are known
here, their name is told to it. What comes out is proved like every other file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from stillhouse.core.errors import ModelError
from stillhouse.core.files import disk_full_is_clear, sync_folder, temporary_beside
from stillhouse.export.gguf_vocabulary import vocabulary_of
from stillhouse.models.source import open_folder
from stillhouse.recipes.gguf_names import CONVERTER
from stillhouse.tokens.jinja import jinja_of
from stillhouse.tokens.template import Template

_LINES = 3
"""assumption: the last lines of a trace say what went wrong."""

_LAUNCH = """
import importlib.util, runpy, sys
folder, name = sys.argv[1:3]
sys.argv = [folder + "/convert_hf_to_gguf.py", *sys.argv[3:]]
sys.path.insert(0, folder)
sys.path.insert(0, folder + "/gguf-py")
try:
    from conversion.base import TextModel
    if name:
        TextModel.get_vocab_base_pre = lambda self, tokenizer: name
    if importlib.util.find_spec("sentencepiece") is None:
        # There is no file of it beside a student, and without the package nothing else is tried.
        def absent(self):
            raise FileNotFoundError("tokenizer.model")
        TextModel._create_vocab_sentencepiece = absent
except ImportError:
    pass  # an older llama.cpp: it may know the tokenizer by itself
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def convert_folder(
    merged: Path, template: Template, path: Path, weights: str, llama_cpp: Path
) -> None:
    """Write a model as GGUF by llama.cpp's own converter, whole or not at all.

    Args:
        merged: an ordinary model folder.
        template: how its conversations are written, whatever the folder's own template is.
        path: of the file.
        weights: `f32`, `bf16`, `f16` or `q8_0`.
        llama_cpp: folder of llama.cpp's sources.

    Raises:
        ModelError: the converter is not there, or refuses the model; with its last words.
        DiskFullError: there is no room for it.
    """
    if not (llama_cpp / CONVERTER).is_file():
        raise ModelError(
            f"{llama_cpp} has no {CONVERTER}", "name the folder of llama.cpp's sources"
        )
    temporary = temporary_beside(path)
    with disk_full_is_clear(path.parent), tempfile.TemporaryDirectory() as scratch:
        path.parent.mkdir(parents=True, exist_ok=True)
        source = Path(scratch) / merged.name
        _stage(merged, template, source)
        command = (
            sys.executable, "-c", _LAUNCH, str(llama_cpp.resolve()), _cutting(merged, template),
            str(source), "--outfile", str(temporary), "--outtype", weights,
        )  # fmt: skip
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", check=False,
                env=os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"},
            )  # fmt: skip
            if done.returncode != 0 or not temporary.is_file():
                raise _refused(merged, done)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def _stage(merged: Path, template: Template, source: Path) -> None:
    """The folder once more, with the template that the student learned with."""
    source.mkdir()
    for file in merged.iterdir():
        (source / file.name).symlink_to(file.resolve())
    own = source / "chat_template.jinja"
    own.unlink(missing_ok=True)
    own.write_text(jinja_of(template), encoding="utf-8")
    config = merged / "tokenizer_config.json"
    if config.is_file():
        told = json.loads(config.read_bytes())
        told.pop("chat_template", None)
        (source / config.name).unlink()
        (source / config.name).write_text(json.dumps(told), encoding="utf-8")


def _cutting(merged: Path, template: Template) -> str:
    """llama.cpp's name of the tokenizer's rules; empty where they are not known here."""
    model = open_folder(merged)
    try:
        return vocabulary_of(model.tokenizer, template, model.num_rows).cutting
    except ModelError:
        return ""


def _refused(merged: Path, done: subprocess.CompletedProcess[str]) -> ModelError:
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    config = json.loads((merged / "config.json").read_bytes())
    return ModelError(
        f"llama.cpp's converter refuses this {config.get('model_type')} (code {done.returncode}): "
        f"{' | '.join(said[-_LINES:]) or 'it does not say why'}",
        "take another version of llama.cpp under export.gguf.llama_cpp_dir, or ship the format "
        "merged",
    )
