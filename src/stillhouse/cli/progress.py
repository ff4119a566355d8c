"""Progress on standard error: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from stillhouse.cli.tables import in_time
from stillhouse.core.protocols import Progress as Tell
from stillhouse.runner.events import Event

_SECONDS_A_LINE = 10.0


class ProgressView:
    """Draws a run's events; use as a context manager."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, soft_wrap=True, highlight=False)
        self._is_live = sys.stderr.isatty()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._started = 0.0
        self._first: int | None = None
        self._last_line = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop_bar()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event.kind:
            case "start":
                self._start(event.instance)
            case "progress":
                self._advance(event.instance, event.values)
            case "done":
                self._stop_bar()
                self._say(f"{event.instance:<18} {_done(event.values)}")
            case "reused":
                self._say(f"{event.instance:<18} already done")
            case "note":
                self._say(f"{event.instance:<18} {event.values['message']}")
            case "failed":
                self._stop_bar()
            case "run":
                pass

    def of(self, name: str) -> Tell:
        """Progress of work that is no stage; a short one prints nothing where there is no bar."""
        self._begin(name)

        def tell(done: int, total: int, unit: str, **values: float) -> None:
            self._advance(name, {"done": done, "total": total, "unit": unit, "values": values})

        return tell

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def _start(self, instance: str) -> None:
        if not self._is_live:
            self._say(f"{instance:<18} started")
        self._begin(instance)

    def _begin(self, instance: str) -> None:
        self._started = self._last_line = time.monotonic()
        self._first = None
        if not self._is_live:
            return
        self._bar = Progress(
            TextColumn("{task.description:<18}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(instance, total=None, rate="")

    def _advance(self, instance: str, values: dict[str, Any]) -> None:
        done, total, unit = values["done"], values["total"], values["unit"]
        now = time.monotonic()
        if self._first is None:
            # A resumed stage begins somewhere on the way.
            self._first, self._started = done, now
        rate = (done - self._first) / max(1e-9, now - self._started)
        said = [f"{rate:.1f} {unit}/s"]
        said += [f"{name} {value:.4g}" for name, value in values["values"].items()]
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, rate=", ".join(said))
        elif now - self._last_line >= _SECONDS_A_LINE:
            self._last_line = now
            left = in_time((total - done) / rate) if rate > 0 else "?"
            self._say(f"{instance:<18} {done}/{total} {unit}, {', '.join(said)}, about {left} left")

    def _stop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None


def _done(values: dict[str, Any]) -> str:
    told = f"done in {in_time(values['seconds'])}"
    if "trainable_parameters" not in values:
        return told
    told += f", {values['trainable_parameters']:,} of {values['parameters']:,} weights trained"
    if "galore_rank" not in values:
        return told
    times = values["galore_projections"]
    renewed = "never renewed" if times == 1 else f"computed {times:,} times"
    return f"{told}, gradients projected to rank {values['galore_rank']:,}, {renewed}"
