"""What a run tells while it works; the command line draws it, tests collect it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: what.
        instance: the instance's key; empty for the run itself.
        values: plain values, such as seconds, done, total, loss.
    """

    kind: Literal["run", "start", "progress", "reused", "done", "failed", "note"]
    instance: str = ""
    values: dict[str, Any] = field(default_factory=dict)


OnEvent = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Tell nobody."""
