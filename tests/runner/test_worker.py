"""What the process that stages are forked from holds before the first is asked for."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from stillhouse.core.errors import StillhouseError
from stillhouse.runner.worker import StageServer
from stillhouse.stages.contract import StageRequest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def server_of(folder, modules=()):
    return StageServer(
        folder / "log.txt", threads=2, card=None, preload=False, modules=modules, is_offline=True
    )


@contextmanager
def serving(folder, modules=()):
    with server_of(folder, modules) as server:
        yield Path(f"/proc/{server._process.pid}")


def environment_of(process):
    # It is empty for a moment after a program was put in a process's place.
    while not (raw := (process / "environ").read_bytes()):
        time.sleep(0.001)
    told = raw.decode().split("\0")
    return dict(one.split("=", 1) for one in told if one)


def test_a_thread_that_waits_leaves_the_core_to_others_soon(tmp_path, monkeypatch):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)

    with serving(tmp_path) as process:
        told = environment_of(process)

    assert (told["OMP_NUM_THREADS"], told["GOMP_SPINCOUNT"]) == ("2", "1000")


@pytest.mark.parametrize(
    ("name", "value"), [("GOMP_SPINCOUNT", "7"), ("OMP_WAIT_POLICY", "ACTIVE")]
)
def test_who_says_how_threads_wait_is_heard(tmp_path, monkeypatch, name, value):
    for other in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)

    with serving(tmp_path) as process:
        told = environment_of(process)

    assert {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(told) == {name}
    assert told[name] == value


def test_what_a_stage_imports_is_there_before_it_is_asked_for(tmp_path):
    with serving(tmp_path, ["stillhouse.stages.collect"]) as process:
        end = time.monotonic() + 30.0
        while "pyarrow" not in (process / "maps").read_text():
            assert time.monotonic() < end
            time.sleep(0.02)


def test_a_library_that_cannot_be_loaded_is_told_by_the_stage_that_needs_it(tmp_path, monkeypatch):
    library = tmp_path / "pyarrow"
    library.mkdir()
    (library / "__init__.py").write_text('raise OSError("libarrow.so: file too short")\n')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    request = StageRequest("prepare", "", "id", {}, {}, tmp_path, tmp_path)

    with (
        server_of(tmp_path, ["stillhouse.stages.prepare"]) as server,
        pytest.raises(StillhouseError, match=r"OSError: libarrow\.so: file too short"),
    ):
        server.run(request, lambda event: None)

    assert (tmp_path / "log.txt").read_text().count("OSError: libarrow.so: file too short") == 2
