"""Stage processes that a test can look into, or do without."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stillhouse.runner.worker import StageOutcome
from stillhouse.stages.table import stage_function


class _InThisProcess:
    """In place of a `StageServer`: runs a stage where the test runs, with nothing to import."""

    def __init__(self, log, *, threads, preload):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def run(self, request, on_progress):
        def progress(done, total, unit, **values):
            on_progress({"done": done, "total": total, "unit": unit, "values": values})

        result = stage_function(request.stage)(request, progress)
        return StageOutcome(result.summary, result.measured)


@pytest.fixture
def in_this_process(monkeypatch):
    """Runs of this test start no process; for tests of models, not of processes."""
    monkeypatch.setattr("stillhouse.runner.run.StageServer", _InThisProcess)


_DRIVER = """
import sys
from stillhouse.runner import server

{code}

server.serve(preload="--preload" in sys.argv)
"""


@pytest.fixture
def drive_stages(monkeypatch, tmp_path):
    """`drive_stages(code)`: every stage process runs `code` first; `server` names its module."""

    def use(code: str) -> None:
        driver, python = tmp_path / "driver.py", tmp_path / "python"
        driver.write_text(_DRIVER.format(code=code))
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{driver}" "$@"\n')
        Path(python).chmod(0o755)
        monkeypatch.setattr("stillhouse.runner.worker.sys.executable", str(python))

    return use
