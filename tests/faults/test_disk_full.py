"""A disk that is really full: the message says where, what was whole stays, room mends it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.killed_runs import ENVIRONMENT, contents

pytestmark = pytest.mark.xdist_group("e2e")

SCRIPT = Path(__file__).with_name("full_disk.py")
HINT = (
    "  -> free some space or choose another folder with --runs; then run the same command: "
    "finished stages are kept\n"
)


@pytest.fixture(scope="module")
def own_mounts(tmp_path_factory):
    """What begins a command that may mount; skips where the system forbids it."""
    folder = tmp_path_factory.mktemp("mount")
    words = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    try:
        tried = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if tried.returncode:
        pytest.skip(f"this system does not let a user mount: {tried.stderr.strip()}")
    return ["unshare", "-rm", sys.executable]


def told(own_mounts, *arguments):
    done = subprocess.run(
        [*own_mounts, str(SCRIPT), *map(str, arguments)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_refusal(end, folder):
    assert end["code"] == 1
    *_, message, hint = end["err"].splitlines(keepends=True)
    assert message.startswith(f"error: no space left on the device that holds {folder}")
    assert hint == HINT
    assert "Traceback" not in end["err"]


@pytest.mark.long
def test_a_full_disk_of_artifacts_is_named_and_room_mends_it(
    own_mounts, tiny_recipe, tiny_run, tmp_path
):
    artifacts = tiny_run.root / "artifacts"
    needed = sum(path.stat().st_size for path in artifacts.rglob("*") if path.is_file())
    sizes = ",".join([*(f"{needed // share // 1024}k" for share in (64, 16, 8, 4, 2)), "16m"])

    *full, last = told(own_mounts, "artifacts", tmp_path, tiny_recipe, sizes)

    for end in full:
        check_refusal(end, tmp_path / "runs" / "artifacts")
    assert [len(end["whole"]) for end in full] == sorted(len(end["whole"]) for end in full)
    assert last["code"] == 0, last["err"]
    assert last["contents"] == contents(tiny_run.root)


def test_a_disk_full_to_the_last_byte_is_named_and_room_mends_it(
    own_mounts, tiny_recipe, tiny_run, tmp_path
):
    filled, begun_full, last = told(own_mounts, "everything", tmp_path, tiny_recipe, "16m,16m,16m")

    check_refusal(filled, tmp_path / "runs")
    for end in (filled, begun_full):
        assert sorted(name.partition("-")[0] for name in end["whole"]) == ["collect", "prepare"]
    # The second is refused by the estimate, before anything is written.
    assert begun_full["code"] == 2
    assert "of disk, there are 0 bytes\n  -> choose another disk with --runs" in begun_full["err"]
    assert last["code"] == 0, last["err"]
    assert last["contents"] == contents(tiny_run.root)
