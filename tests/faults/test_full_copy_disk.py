"""A disk that is really full in the middle of a copy of a bundle."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.killed_runs import ENVIRONMENT

pytestmark = pytest.mark.long
SCRIPT = Path(__file__).with_name("full_copy_disk.py")


@pytest.mark.parametrize(("size", "kind"), [("64k", "DiskFullError"), ("512k", "DiskFullError"),
                                            ("4m", "nothing")])  # fmt: skip
def test_a_full_disk_holds_no_half_of_a_bundle(size, kind, tmp_path):
    bundle, disk = tmp_path / "bundle", tmp_path / "disk"
    bundle.mkdir()
    disk.mkdir()
    (bundle / "README.md").write_text("# small")
    (bundle / "model.safetensors").write_bytes(bytes(range(256)) * 4096)
    command = ["unshare", "-rm", sys.executable, str(SCRIPT), str(bundle), str(disk), size]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(f"this system does not let a user mount: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr

    told = json.loads(done.stdout.splitlines()[-1])

    print(size, told["kind"], told["left"])
    assert told["kind"] == kind
    whole = ["copy", "copy/README.md", "copy/model.safetensors", "mine"]
    assert told["left"] == (whole if kind == "nothing" else ["mine"])
