"""Stage processes that a test can look into, or do without."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.watched import WATCH

import stillhouse
from stillhouse.runner.worker import StageOutcome
from stillhouse.stages.table import stage_function


class _InThisProcess:
    """In place of a `StageServer`: runs a stage where the test runs, with nothing to import."""

    def __init__(self, log, **_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def run(self, request, on_progress):
        def progress(done, total, unit, **values):
            on_progress({"done": done, "total": total, "unit": unit, "values": values})

        result = stage_function(request.stage, request.config)(request, progress)
        return StageOutcome(result.summary, result.measured, result.series)


@pytest.fixture
def in_this_process(monkeypatch):
    """Runs of this test start no process; for tests of models, not of processes."""
    monkeypatch.setattr("stillhouse.runner.run.StageServer", _InThisProcess)


@pytest.fixture(scope="module")
def one_process():
    """The same for a run that several tests of a module look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stillhouse.runner.run.StageServer", _InThisProcess)
        yield


_DRIVER = """
import sys
from stillhouse.runner import server

{code}

server.serve(preload="--preload" in sys.argv)
"""


def drive(monkeypatch, folder, code):
    """Let every stage process run `code` first; `server` in it is the module of the process."""
    driver, python = folder / "driver.py", folder / "python"
    driver.write_text(_DRIVER.format(code=code))
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{driver}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr("stillhouse.runner.worker.sys.executable", str(python))


@pytest.fixture
def drive_stages(monkeypatch, tmp_path):
    """`drive_stages(code)`: the stage processes of this test run `code` first."""
    return lambda code: drive(monkeypatch, tmp_path, code)


@pytest.fixture(scope="session")
def watched_run(tmp_path_factory, tiny_recipe):
    """The tiny recipe run once more, in another folder, with what its processes built."""
    seen, root = tmp_path_factory.mktemp("seen"), tmp_path_factory.mktemp("watched-runs")
    with pytest.MonkeyPatch.context() as patch:
        drive(patch, tmp_path_factory.mktemp("driver"), WATCH.format(folder=str(seen)))
        stillhouse.run(str(tiny_recipe), stillhouse.Call(runs=str(root), name="again"))
    events = [json.loads(path.read_bytes()) for path in sorted(seen.iterdir())]
    return WatchedRun(root, "again", events)


@dataclass(frozen=True)
class WatchedRun:
    """A finished run, and what every stage process told: see `watched.WATCH`."""

    root: Path
    name: str
    events: list[dict]
