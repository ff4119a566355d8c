"""The process that stages are forked from: heavy imports once, then one child a stage.

Requests come as JSON lines on standard input, events go as JSON lines to standard output. A
child ends when its parent's end of the pipe closes, so no stage outlives a killed run.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TextIO

from stillhouse.core.errors import StillhouseError
from stillhouse.core.files import disk_full_is_clear
from stillhouse.runner.guard import install_guard
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.table import import_heavy, stage_function

_EVENTS_A_SECOND = 10.0
_SECONDS_A_LOOK = 0.2


def serve(preload: bool, modules: Sequence[str] = ()) -> None:
    """Fork one child for each request until standard input closes.

    Args:
        preload: import torch, and every stage that needs it.
        modules: of the stages that will be asked for; imported once here, not in every child.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    events = _claim_stdout()
    _preload(preload, modules)
    # readline, not iteration: a child must find its lifeline unread in the pipe.
    while line := _read_line():
        child = os.fork()
        if child == 0:
            try:
                os._exit(_run_child(json.loads(line), events))
            finally:
                # Not even the news of a failure could be sent: the command is gone.
                os._exit(1)
        _, status, usage = os.wait4(child, 0)
        peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        _send(events, {"event": "exit", "code": _exit_code(status), "peak_bytes": peak})


def _preload(heavy: bool, modules: Sequence[str]) -> None:
    """Do the imports; end with the command that asked for them, should it be killed."""
    is_done = threading.Event()
    # A hang-up is seen also where the command died before this process came so far.
    lifeline = select.poll()
    lifeline.register(0, 0)

    def watch() -> None:
        while not is_done.wait(_SECONDS_A_LOOK):
            if lifeline.poll(0):
                os._exit(1)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    # What cannot be imported is told by the first stage that needs it.
    try:
        if heavy:
            import_heavy()
        for module in modules:
            importlib.import_module(module)
    except ModuleNotFoundError:
        pass
    except Exception:
        # A second import of a half loaded library may fail of something else: the log has both.
        traceback.print_exc()
    is_done.set()
    watcher.join()


def _read_line() -> str:
    """One line of standard input, read byte by byte so that nothing more is taken."""
    taken = bytearray()
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        taken += byte
    return taken.decode()


def _exit_code(status: int) -> int:
    return os.waitstatus_to_exitcode(status)


def _claim_stdout() -> TextIO:
    """The event stream; whatever libraries print goes to the log instead."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return events


def _send(events: TextIO, event: dict[str, Any]) -> None:
    events.write(json.dumps(event) + "\n")
    events.flush()


def _run_child(plain: dict[str, Any], events: TextIO) -> int:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        request = StageRequest.from_json(plain)
        install_guard(request.network, plain["locations"].get("hub_host", "").split())
        with disk_full_is_clear(request.out):
            result = stage_function(request.stage, request.config)(request, _Reporter(events))
        _send(events, {"event": "result", **asdict(result)})
    except BaseException as error:
        # The log may lie on the very disk that is full.
        with contextlib.suppress(OSError):
            traceback.print_exc()
        _send(events, {"event": "error", **_describe(error)})
        return 1
    return 0


def _describe(error: BaseException) -> dict[str, str]:
    if isinstance(error, StillhouseError):
        return {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
    kind = type(error).__name__
    if isinstance(error, MemoryError):
        return {
            "kind": "CapacityError",
            "message": "out of memory",
            "hint": "lower batch_size or max_tokens; stillhouse check tells what fits",
        }
    if isinstance(error, ModuleNotFoundError):
        return {
            "kind": "UsageError",
            "message": f"this stage needs the package {error.name}, which is not installed",
            "hint": 'pip install "stillhouse[train]"',
        }
    hint = "this is a fault of Stillhouse or of a library; the whole trace stands in log.txt"
    return {"kind": "StillhouseError", "message": f"{kind}: {error}", "hint": hint}


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


class _Reporter:
    """Progress as events, at most ten a second and always the last."""

    def __init__(self, events: TextIO) -> None:
        self._events = events
        self._last = 0.0

    def __call__(self, done: int, total: int, unit: str, **values: float) -> None:
        now = time.monotonic()
        if done < total and now - self._last < 1.0 / _EVENTS_A_SECOND:
            return
        self._last = now
        _send(
            self._events,
            {"event": "progress", "done": done, "total": total, "unit": unit, "values": values},
        )


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        serve("--preload" in sys.argv, [word for word in sys.argv[1:] if not word.startswith("-")])
    # Nothing is left to be written; taking torch down in order would take a second.
    os._exit(0)
