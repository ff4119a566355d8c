"""A disk that is really full in the middle of a GGUF file."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.faults.killed_runs import ENVIRONMENT
from tests.models.tiny_models import save

pytestmark = pytest.mark.long
SCRIPT = Path(__file__).with_name("full_gguf_disk.py")


@pytest.fixture(scope="module")
def folder(tokenizer, tokenizer_folder, tmp_path_factory):
    """A model of 2.5 MB."""
    target = tmp_path_factory.mktemp("model")
    return save("llama", tokenizer, tokenizer_folder, target, hidden_size=128, head_dim=32,
                intermediate_size=512)  # fmt: skip


@pytest.mark.parametrize("how", ["write", "quantise"])
@pytest.mark.parametrize("size", ["16k", "128k", "512k"])
def test_a_full_disk_is_named_and_leaves_the_old_file(how, size, folder, tmp_path):
    if how == "quantise" and find_spec("llama_cpp") is None:
        pytest.skip("make test-long installs llama-cpp-python")
    command = ["unshare", "-rm", sys.executable, str(SCRIPT), str(folder), str(tmp_path), size, how]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(f"this system does not let a user mount: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr

    told = json.loads(done.stdout.splitlines()[-1])

    print(how, size, told["kind"], told["message"].splitlines()[0])
    assert told["kind"] == "DiskFullError"
    assert told["left"] == {"old.gguf": "old"}
