"""The run's side of a stage process: start a server, send a request, read its events."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stillhouse.core.errors import StillhouseError, error_by_name
from stillhouse.core.kd_metrics import Series
from stillhouse.recipes.cards import only
from stillhouse.stages.contract import StageRequest

_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE", "TRANSFORMERS_OFFLINE",
            "HF_HUB_DISABLE_XET")  # fmt: skip

_LOOKS = "1000"
"""How often a thread of OpenMP looks for work before it sleeps, in GNU's runtime.

Its own 300,000 looks take some milliseconds of a core: where another process wants that core, the
thread that has the work waits for the one that looks, at every product.
measured: docs/performance.md, a training with two threads on two cores that others share.
"""

OnProgress = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class StageOutcome:
    """What came back from a stage's process.

    Attributes:
        summary: what goes into the manifest.
        measured: durations and memory, beside the artifact.
        series: the same over the steps of a training.
    """

    summary: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)
    series: Series = field(default_factory=dict)


class StageServer:
    """A process that stages are forked from; started when the block is entered.

    Args:
        log: what stages and libraries print, and every trace, is appended here.
        threads: for every numeric library, from the start.
        card: number of the one CUDA device that stages see; None for all.
        preload: import torch and transformers at once, so that each stage starts in no time.
        modules: of the stages that it will be asked for, imported at once too.
        is_offline: the recipe's network policy is `none`.
    """

    def __init__(
        self,
        log: Path,
        *,
        threads: int,
        card: int | None,
        preload: bool,
        modules: Sequence[str],
        is_offline: bool,
    ) -> None:
        self._log = log
        self._threads = threads
        self._card = card
        self._preload = preload
        self._modules = modules
        self._is_offline = is_offline

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "stillhouse.runner.server"]
        if self._preload:
            command.append("--preload")
        command += self._modules
        environment = self._environment()
        self._stderr = self._log.open("ab")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment,
        )
        return self

    def _environment(self) -> dict[str, str]:
        environment = os.environ | {
            "OMP_NUM_THREADS": str(self._threads),
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONUNBUFFERED": "1",
        }
        if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(environment):
            environment["GOMP_SPINCOUNT"] = _LOOKS
        if self._card is not None:
            environment |= only(self._card, os.environ.get("CUDA_VISIBLE_DEVICES"))
        if self._is_offline:
            # These libraries have clients that no guard of Python's sees.
            environment |= dict.fromkeys(_OFFLINE, "1")
        return environment

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        if kind is not None:
            # The child reads the closed pipe and ends; the server is then free to go.
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._stderr.close()

    def run(self, request: StageRequest, on_progress: OnProgress) -> StageOutcome:
        """Run one stage in a process of its own.

        Args:
            request: what to run, and where.
            on_progress: hears of the stage's progress.

        Returns:
            What the stage said, and what it took.

        Raises:
            StillhouseError: of the class that the stage raised; or the process died.
        """
        assert self._process.stdout is not None
        self._send(request)
        outcome = StageOutcome()
        failure: dict[str, Any] | None = None
        for raw in self._process.stdout:
            event = json.loads(raw)
            match event["event"]:
                case "progress":
                    on_progress(event)
                case "result":
                    outcome = StageOutcome(event["summary"], event["measured"], event["series"])
                case "error":
                    failure = event
                case "exit":
                    outcome.measured["peak_bytes"] = float(event["peak_bytes"])
                    if failure:
                        kind = error_by_name(failure["kind"])
                        raise kind(failure["message"], failure["hint"])
                    if event["code"] != 0:
                        raise _died(request, event["code"])
                    return outcome
        raise _died(request, self._process.wait())

    def _send(self, request: StageRequest) -> None:
        assert self._process.stdin is not None
        line = json.dumps(request.as_json()) + "\n"
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise _died(request, self._process.wait()) from None


def _died(request: StageRequest, code: int) -> StillhouseError:
    name = f"{request.stage}@{request.variant}" if request.variant else request.stage
    how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    why = (
        "signal 9 is often the kernel's answer to too little memory"
        if code < 0
        else "its trace stands in log.txt of the run's folder"
    )
    return StillhouseError(
        f"the process of {name} {how}",
        f"{why}; run the same command again to go on from the last finished work",
    )
