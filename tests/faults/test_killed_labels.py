"""A capture killed wherever it can be: nothing is lost or doubled, and the bytes are the same."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.killed_runs import ENVIRONMENT

from stillhouse.targets.read import TargetReader

pytestmark = pytest.mark.xdist_group("e2e")
DRIVER = Path(__file__).with_name("killed_labels.py")
NUM_SHARDS = 5
DRAWN = ["label.targets=top_k_sampled", "label.top_k=8"]
# Place and visit; a labelling has 70 examples in shards of 16.
EXACT = [
    *(("before completions", visit) for visit in (1, 3, 6)),
    *(("after completions", visit) for visit in (2, 5, 6)),
    *(("a target", visit) for visit in (1, 15, 16, 17, 40, 70)),
    *(("before a shard", visit) for visit in (1, 2, 5)),
    *(("half a shard", visit) for visit in (1, 3, 4, 5)),
    *(("a shard that is not durable", visit) for visit in (1, 3, 5)),
    *(("after a shard", visit) for visit in (2, 4, 5)),
    *((place, 1) for place in ("before the index", "half an index", "after the index")),
    *(("a link", visit) for visit in (1, 4, 7)),
]
NUM_TIMED = 19
FEW = [[("half a shard", 2), ("a target", 20)], [("after the index", 1), ("a link", 3)]]


def labelled(tiny_recipe, tiny_run, folder, rows, overrides=()):
    """What the driver tells of rows of kills."""
    spec = {
        "recipe": str(tiny_recipe),
        "overrides": list(overrides),
        "root": str(tiny_run.root),
        "folder": str(folder),
        "rows": rows,
    }
    done = subprocess.run(
        [sys.executable, DRIVER, json.dumps(spec)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def placed(kills):
    return [{"place": place, "visit": visit} for place, visit in kills]


def assert_unharmed(told, folder):
    """Every kill came, and every labelling is the one that was left in peace."""
    assert all(all(row["died"]) and row["code"] == 0 for row in told["rows"]), told
    assert [row["contents"] for row in told["rows"]] == [told["whole"]] * len(told["rows"])
    assert len(told["whole"]["kept"]) == NUM_SHARDS
    reader = TargetReader(folder / "whole" / "out" / "targets")
    reader.verify()
    assert len(reader) == len(set(reader.example_ids)) > 16 * (NUM_SHARDS - 1)


def test_four_kills_of_a_capture_change_no_byte(tiny_recipe, tiny_run, tmp_path):
    rows = [placed(kills) for kills in FEW]

    told = labelled(tiny_recipe, tiny_run, tmp_path, rows, DRAWN)

    assert_unharmed(told, tmp_path)


@pytest.mark.long
def test_fifty_kills_of_a_capture_change_no_byte(tiny_recipe, tiny_run, tmp_path):
    draw = random.Random(0)
    timed = [[{"share": draw.uniform(0.0, 1.0)}] for _ in range(NUM_TIMED)]
    rows = [placed([kill]) for kill in EXACT] + timed
    assert sum(map(len, rows)) == 50

    told = labelled(tiny_recipe, tiny_run, tmp_path, rows)

    assert_unharmed(told, tmp_path)
