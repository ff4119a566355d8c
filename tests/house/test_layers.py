"""The layers hold: arrows go down, torch stays where weights are, and nothing runs in a circle."""

import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "stillhouse"


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph(PACKAGE, include_external_packages=False, cache_dir=None)


def test_every_contract_of_the_layers_is_kept():
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert program, "import-linter is not installed beside this Python"
    done = subprocess.run(
        [program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "3 kept, 0 broken" in done.stdout


def test_rooms_form_no_circle(graph, record_property):
    rooms = {name: room_of(name) for name in graph.modules if name != PACKAGE}
    arrows = {
        (room, rooms[target])
        for name, room in rooms.items()
        for target in graph.find_modules_directly_imported_by(name)
        if target in rooms and rooms[target] != room
    }
    circles = circles_of(set(rooms.values()), arrows)
    counts = {"rooms": len(set(rooms.values())), "arrows": len(arrows), "circles": len(circles)}
    for name, number in counts.items():
        record_property(name, number)
    print(", ".join(f"{name} {number}" for name, number in counts.items()))

    assert circles == []
    assert counts["rooms"] >= 18


def test_files_form_no_circle(graph):
    arrows = {
        (name, target)
        for name in graph.modules
        for target in graph.find_modules_directly_imported_by(name)
    }
    assert circles_of(graph.modules, arrows) == []


def room_of(module):
    return ".".join(module.split(".")[:2])


def circles_of(places, arrows):
    """The places that are left when all without an arrow to another are taken away, again."""
    left = set(places)
    while True:
        ends = {place for place in left if not any((place, other) in arrows for other in left)}
        if not ends:
            return sorted(left)
        left -= ends


def test_a_circle_would_be_found():
    assert circles_of("abc", {("a", "b"), ("b", "c")}) == []
    assert circles_of("abcd", {("a", "b"), ("b", "a"), ("c", "a")}) == ["a", "b", "c"]
