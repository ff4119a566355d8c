"""A model of any size is written with the memory of its largest tensor."""

import subprocess
import sys

import pytest
from tests.models.tiny_models import save

pytestmark = pytest.mark.long

SCRIPT = """
import sys
from pathlib import Path
from stillhouse.export.gguf_model import GgufFacts, write_gguf
from stillhouse.tokens.template import ChatTemplate
from stillhouse.tokens.tokenizer import load_tokenizer

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

folder = Path(sys.argv[1])
template = ChatTemplate.of(load_tokenizer(folder))
Path("/proc/self/clear_refs").write_text("5")  # the peak of the parent is inherited
before = status("VmRSS")
write_gguf(folder, template, folder / "m.gguf", sys.argv[2], GgufFacts("m"))
print(status("VmHWM") - before)
"""


@pytest.mark.parametrize("weights", ["f32", "f16", "q8_0"])
def test_writing_takes_a_few_tensors_of_memory(weights, tokenizer, tokenizer_folder, tmp_path):
    folder = save(
        "llama", tokenizer, tokenizer_folder, tmp_path / "m",
        hidden_size=512, intermediate_size=2048, num_hidden_layers=24, num_attention_heads=8,
        num_key_value_heads=8, head_dim=64,
    )  # fmt: skip
    whole = (folder / "model.safetensors").stat().st_size

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), weights],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    taken = int(done.stdout) * 1024
    print(f"{weights}: {taken / 1e6:.0f} MB more for weights of {whole / 1e6:.0f} MB")
    assert 0 < taken < whole / 4
