"""The base install has no torch; everything that trains nothing works there, and starts fast."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

import stillhouse

pytestmark = pytest.mark.xdist_group("e2e")
HEAVY = ("torch", "transformers", "peft", "accelerate", "datasets", "safetensors")
SOURCE = Path(stillhouse.__file__).parents[1]
MOST_HELP_SECONDS = 3.0
"""assumption: half a second on a free machine; this one runs other tests at the same time."""


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """Python with everything that is installed here but the packages of the extra `train`.

    A folder of links to all other packages, for an interpreter outside this environment: so the
    packages are as absent as on a machine that never had them, also in child processes.
    """
    folder = tmp_path_factory.mktemp("packages")
    for installed in Path(sysconfig.get_path("purelib")).iterdir():
        name = installed.name.split("-")[0].lower()
        if name not in HEAVY and installed.suffix != ".pth":
            (folder / installed.name).symlink_to(installed)
    python = getattr(sys, "_base_executable", sys.executable)
    path = os.pathsep.join((str(SOURCE), str(folder)))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONNOUSERSITE": "1"}
    environment.pop("COVERAGE_PROCESS_START", None)

    def call(*command):
        return subprocess.run([python, *command], capture_output=True, text=True, env=environment)

    probe = f"import importlib.util as u; print([n for n in {HEAVY} if u.find_spec(n)])"
    found = call("-c", probe)
    if found.stdout.strip() != "[]":
        pytest.skip(f"the interpreter below this environment has its own: {found.stdout}")
    return call


@pytest.fixture(scope="module")
def stillhouse_without(without):
    """The command line there; gives what it printed and fails the test if it failed."""

    def call(*command, code=0):
        done = without("-m", "stillhouse.cli.main", *map(str, command))
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr

    return call


def test_help_needs_no_torch_and_is_fast(stillhouse_without):
    started = time.perf_counter()
    said = stillhouse_without("--help")

    assert "run" in said
    assert time.perf_counter() - started < MOST_HELP_SECONDS


def test_the_built_in_recipes_are_listed_and_shown(stillhouse_without):
    assert "quickstart" in stillhouse_without("recipe", "list")
    assert "qwen3" in stillhouse_without("recipe", "show", "quickstart")


def test_check_prices_a_run_that_cannot_run_there(stillhouse_without, tiny_recipe, tmp_path):
    for recipe in ("quickstart", tiny_recipe):
        said = stillhouse_without("check", recipe, "--runs", tmp_path, "--json")
        assert json.loads(said)["seconds"] > 0


def test_mask_shows_what_is_trained_on(stillhouse_without, tiny_recipe):
    said = json.loads(stillhouse_without("mask", tiny_recipe, "--json"))

    assert any(token["is_trained"] for token in said["tokens"])


def test_a_finished_run_is_read_judged_and_reported(stillhouse_without, tiny_run, tmp_path):
    root = tmp_path / "runs"
    shutil.copytree(tiny_run.root, root)
    page = root / tiny_run.name / "report.html"
    before = page.read_bytes()
    page.unlink()

    status = json.loads(stillhouse_without("status", tiny_run.name, "--runs", root, "--json"))
    verdict = json.loads(stillhouse_without("gate", tiny_run.name, "--runs", root, "--json"))
    stillhouse_without("report", tiny_run.name, "--runs", root)
    board = json.loads(stillhouse_without("leaderboard", "--runs", root, "--json"))
    row = json.loads(
        stillhouse_without("report", tiny_run.name, "--runs", root, "--format", "json")
    )
    told = stillhouse_without("explain", row["examples"][0]["example_id"], "--runs", root)

    assert all(stage["is_done"] for stage in status["stages"])
    assert verdict["passed"]
    assert page.read_bytes() == before
    assert board["rows"][0]["name"] == tiny_run.name
    assert "student said: " in told


def test_a_finished_run_is_run_again_because_nothing_is_left_to_do(
    stillhouse_without, tiny_run, tiny_recipe, tmp_path
):
    root = tmp_path / "runs"
    shutil.copytree(tiny_run.root, root)

    said = stillhouse_without("run", tiny_recipe, "--runs", root, "--name", tiny_run.name)

    assert "gate: student passed" in said


def test_run_names_the_extra_before_anything_is_made(stillhouse_without, tiny_recipe, tmp_path):
    said = stillhouse_without("run", tiny_recipe, "--runs", tmp_path, code=2)

    assert "torch, transformers, peft, accelerate, safetensors: not installed" in said
    assert 'pip install "stillhouse[train]"' in said
    assert not list((tmp_path / "artifacts").glob("*-*"))


def test_a_data_set_of_hugging_face_names_the_extra_too(stillhouse_without, tiny_recipe, tmp_path):
    source = "collect.source={dataset: {id: ./saved}}"

    said = stillhouse_without("check", tiny_recipe, "--set", source, code=2)

    assert "needs the package datasets" in said
    assert "stillhouse[train]" in said


@pytest.mark.long
def test_the_base_install_is_small_quick_and_enough(tmp_path, tiny_recipe):
    """A real second environment; prints how long the install and `--help` take."""
    root, source = SOURCE.parent, tmp_path / "source"  # a build leaves files in its source
    shutil.copytree(SOURCE, source / "src", ignore=shutil.ignore_patterns("*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(root / name, source / name)
    environment = tmp_path / "base"
    python, command = environment / "bin" / "python", environment / "bin" / "stillhouse"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    install = ["install", "-q", "--disable-pip-version-check", "-c", root / "constraints.txt"]

    started = time.perf_counter()
    subprocess.run([python, "-m", "pip", *install, source], check=True)
    installed = time.perf_counter() - started
    times = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([command, "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - started)

    listed = subprocess.run([python, "-m", "pip", "list"], check=True, capture_output=True)
    names = {line.split()[0].lower() for line in listed.stdout.decode().splitlines()[2:]}
    assert not names & set(HEAVY)
    size = sum(path.stat().st_size for path in environment.rglob("*") if path.is_file())
    print(f"\ninstall {installed:.1f} s, {len(names)} packages, {size / 1e6:.0f} MB")
    print(f"stillhouse --help: {min(times):.2f} s at best, {max(times):.2f} s at worst")
    for words in (["check", "quickstart"], ["check", tiny_recipe], ["recipe", "list"]):
        done = subprocess.run([command, *words], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    refused = subprocess.run([command, "run", tiny_recipe], capture_output=True, cwd=tmp_path)
    assert refused.returncode == 2
    assert b"stillhouse[train]" in refused.stderr
