"""The record of a run says how it ended, also where nobody was left to write that down."""

import os
import signal
import subprocess
import sys

import pytest

from stillhouse.store.lock import hold_lock
from stillhouse.store.runs import RunFolder, RunRecord

RUN = """
import signal, sys
from pathlib import Path
from stillhouse.store.lock import hold_lock
from stillhouse.store.runs import RunFolder, RunRecord
# Whoever runs these tests may ignore a hang-up, and children inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
folder = RunFolder(Path(sys.argv[1]))
with hold_lock(folder.lock, "in use", "wait"):
    folder.write(RunRecord(name="r", recipe={}, instances=()), "")
    print("ready", flush=True)
    sys.stdin.read()
    folder.update(RunRecord(name="r", recipe={}, instances=(), state="passed"))
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, None])
def test_a_run_that_was_killed_is_not_running(tmp_path, end):
    folder = RunFolder(tmp_path / "r")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", RUN, str(folder.path)], **pipes) as process:
        assert process.stdout.readline() == b"ready\n"
        assert folder.read().state == "running"
        if end:
            os.kill(process.pid, end)
        process.stdin.close()
    assert folder.read().state == ("interrupted" if end else "passed")
    assert folder.read().message.startswith("its process was killed; run the same" if end else "")


def test_a_run_that_is_made_anew_after_a_kill_is_running(tmp_path):
    folder = RunFolder(tmp_path / "r")
    folder.write(RunRecord(name="r", recipe={}, instances=()), "")
    assert folder.read().state == "running"
    with hold_lock(folder.lock, "in use", "wait"):
        assert folder.read().state == "running"
