"""Processes that ask, are killed, and ask again."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def start(folder, url, **order):
    """A process that asks; its answers come as JSON lines on its standard output."""
    told = {"folder": str(folder), "url": url} | order
    return subprocess.Popen(
        [sys.executable, "-m", "tests.engines.asking", json.dumps(told)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """The answers of a process that ran to its end."""
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


def kill_after(process, server, calls, pause):
    """Kill -9 when the server has seen so many calls in all; False when it ended before."""
    while len(server.calls) < calls and process.poll() is None:
        pause(0.001)
    was_running = process.poll() is None
    process.kill()
    process.communicate()
    return was_running
