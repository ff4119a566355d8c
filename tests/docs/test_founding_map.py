"""Every demand of the founding systems has a row, and each row names what is there."""

import ast
import importlib.util
import re
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_PATH = ROOT / "docs" / "founding_map.py"
_SPEC = importlib.util.spec_from_file_location("stillhouse_founding_map", _PATH)
founding = importlib.util.module_from_spec(_SPEC)
sys.modules["stillhouse_founding_map"] = founding
_SPEC.loader.exec_module(founding)
ROWS = [row for system in founding.SYSTEMS for row in founding.demands(system)]


@pytest.mark.parametrize("system", founding.SYSTEMS)
def test_every_demand_has_its_row(system):
    letters, count = founding.SYSTEMS[system]
    wanted = [f"{letters}-{number:02d}" for number in range(1, count + 1)]
    assert [row.name for row in founding.demands(system)] == wanted


def test_a_row_says_what_its_state_asks_for():
    for row in ROWS:
        assert row.asks, row
        assert row.state in founding.STATES, row
        assert bool(row.tests) == (row.state in ("proven", "built")), row
        assert bool(row.why) == (row.state != "proven"), row
        assert row.where or row.state in ("waits", "left_out"), row


def test_every_place_of_a_row_is_there():
    assert [
        (row.name, place) for row in ROWS for place in row.where if not (ROOT / place).exists()
    ] == []


def test_every_test_of_a_row_is_there():
    missing = []
    for row in ROWS:
        for test in row.tests:
            file, name = test.split("::")
            if name not in _tests_of(file):
                missing.append((row.name, test))
    assert missing == []


def test_every_file_that_took_the_place_of_a_guide_s_test_is_there():
    page = (ROOT / "docs" / "how-to" / "songs.md").read_text(encoding="utf-8")
    part = page.partition("## The guide's own tests")[2].partition("\n## ")[0]
    named = re.findall(r"`([a-z0-9_]+/[a-z0-9_/.]*)`", part)
    assert len(named) >= 20
    assert [name for name in named if not (ROOT / "tests" / name).exists()] == []


@cache
def _tests_of(file):
    path = ROOT / file
    if not path.exists():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))
