"""Each benchmark says what it does, refuses what it does not know, and prints one line of JSON."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[2] / "benchmarks"
MAKEFILE = (HOME.parent / "Makefile").read_text(encoding="utf-8")
SCRIPTS = sorted(path for path in HOME.rglob("*.py") if "parser(__doc__" in path.read_text())
SCRIPTS = [path for path in SCRIPTS if ".peers" not in path.parts]
MOST_LINES, KEYS = 400, {"benchmark", "figures", "goal", "holds", "versions"}


def name_of(path):
    return path.relative_to(HOME).with_suffix("").as_posix()


def run(path, *arguments, timeout=60):
    return subprocess.run(
        [sys.executable, str(path), *arguments], capture_output=True, text=True, timeout=timeout
    )


def line_of(done):
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return json.loads(line)


def test_make_bench_runs_every_script():
    listed = re.search(r"BENCHMARKS := ((?:.*\\\n)*.*)", MAKEFILE)[1].replace("\\\n", " ").split()
    assert sorted(listed) == sorted(name_of(path) for path in SCRIPTS)


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_help_names_the_shared_options(path):
    shown = run(path, "--help")
    assert shown.returncode == 0
    for option in ("--quick", "--threads", "--repeats", "--clock"):
        assert option in shown.stdout


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_an_unknown_option_is_refused(path):
    assert run(path, "--qiuck").returncode == 2


@pytest.mark.parametrize("path", sorted(HOME.glob("*.py")), ids=name_of)
def test_no_file_is_longer_than_one_idea(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_a_goal_that_was_not_measured_is_neither_kept_nor_missed():
    done = run(HOME / "gpu" / "qwen3_8b.py", "--quick")
    line = line_of(done)
    assert line.keys() == KEYS
    if line["figures"]["device"] == "no CUDA device":
        assert line["holds"] is None


@pytest.mark.long
@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_the_quick_form_prints_one_line(path, tmp_path):
    has_cache = "add_lesson(options)" in path.read_text(encoding="utf-8")
    cache = ("--cache", str(tmp_path)) if has_cache else ()
    line = line_of(run(path, "--quick", *cache, timeout=600))
    assert line.keys() == KEYS
    assert line["benchmark"].split("_")[0] == name_of(path).split("_")[0].split("/")[0]
    assert line["figures"]["form"] == "quick"
    for goal in line["goal"].values():
        assert goal["holds"] in (True, False, None)
        assert "measured" in goal
