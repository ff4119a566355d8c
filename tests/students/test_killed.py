"""A training that was killed ends, bit for bit, where one left in peace ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ALL = (
    "dropout",
    "lora-best",
    "examined",
    "plain",
    "lora-dropout",
    "bfloat16",
    "two-threads",
    "cross-entropy",
    "best",
    "gradient-checkpointing",
)


MODES = ("cached", "live", "base", "classes", "text")


def told(folder, how, cases):
    driver = Path(__file__).with_name("killed_trainings.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(driver), str(folder), how, *cases],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    path = folder / "told.json"
    assert path.is_file(), done.stderr[-3000:]
    return json.loads(path.read_text())


def test_kill_at_five_points_changes_no_bit(tmp_path):
    result = told(tmp_path, "points", ["dropout", "lora-best", "examined"])
    assert {case: entry["differs"] for case, entry in result.items()} == {
        "dropout": [],
        "lora-best": [],
        "examined": [],
    }
    assert result["dropout"]["kills"] == 5
    assert result["lora-best"]["kills"] >= 3
    assert result["dropout"]["summary"][:3] == [9, 9, False]
    steps, best_step, stopped_early, _ = result["lora-best"]["summary"]
    assert stopped_early
    assert best_step < steps < 9
    # then also what was examined, and the patience that it used up, is as if nothing had happened
    assert result["examined"]["kills"] >= 3
    assert result["examined"]["summary"][1] < result["examined"]["summary"][0]


@pytest.mark.long
@pytest.mark.parametrize("how", ["points", "times"])
@pytest.mark.parametrize("case", ALL)
def test_kill_changes_no_bit_in_any_configuration(case, how, tmp_path):
    entry = told(tmp_path, how, [case])[case]
    assert entry["differs"] == []
    assert entry["kills"] >= 2


def test_kill_changes_no_bit_whatever_takes_the_steps(tmp_path):
    cells = ["cached/lora/adamw_8bit", "cached/full/galore_adamw", "cached/full/layerwise"]
    result = told(tmp_path, "few steps", cells)
    assert {cell: entry["differs"] for cell, entry in result.items()} == {
        cell: [] for cell in cells
    }
    assert {entry["kills"] for entry in result.values()} == {3}


@pytest.mark.long
@pytest.mark.parametrize("mode", MODES)
def test_kill_at_20_random_steps_changes_no_bit(mode, tmp_path):
    result = told(tmp_path, "steps", [f"{mode}/*"])
    for cell, entry in result.items():
        same = "the same" if not entry["differs"] else f"differs in {entry['differs']}"
        print(f"\n{cell:40} {entry['kills']} kills, {same}", end="")
    assert len(result) >= 4
    for cell, entry in result.items():
        assert (cell, entry["kills"], entry["differs"]) == (cell, 20, [])
        assert entry["summary"][0] == 41
