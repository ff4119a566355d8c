"""What a stage is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stillhouse.core.kd_metrics import Series
from stillhouse.core.protocols import Progress


@dataclass(frozen=True, slots=True)
class StageRequest:
    """One instance to be run, as it crosses from the runner to the stage's own process.

    Attributes:
        stage: the stage's name.
        variant: which instance of it.
        artifact_id: names the result; a resume from work of another id is refused.
        config: the instance's part of the plan; with the inputs, all that the bytes depend on.
        inputs: name to an artifact's folder.
        out: an empty folder; what is written here becomes the artifact.
        scratch: what a resume needs; kept after a crash, deleted when the stage ends.
        locations: where things that the hash knows by content lie on this machine.
        network: the recipe's network policy.
        access: how models behind an API are reached: the recipe's `api` of teacher and judges,
            where the account lies, the run's name; empty where none is asked. What shapes answers
            stands in `config`.
        trackers: who hears a training, see `runner/trackers.py`; empty without any.
    """

    stage: str
    variant: str
    artifact_id: str
    config: dict[str, Any]
    inputs: dict[str, Path]
    out: Path
    scratch: Path
    locations: dict[str, str] = field(default_factory=dict)
    network: str | list[str] = "none"
    access: dict[str, Any] = field(default_factory=dict)
    trackers: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values for a pipe."""
        plain = asdict(self)
        plain["inputs"] = {name: str(path) for name, path in self.inputs.items()}
        return plain | {"out": str(self.out), "scratch": str(self.scratch)}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> StageRequest:
        """The request that `as_json` was made of."""
        paths = {
            "inputs": {name: Path(path) for name, path in plain["inputs"].items()},
            "out": Path(plain["out"]),
            "scratch": Path(plain["scratch"]),
        }
        return cls(**(plain | paths))


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage says beside the files it wrote.

    Attributes:
        summary: JSON values, equal in every run of the same artifact.
        measured: what may differ from run to run.
        series: of the same kind, columns over the steps of a training.
    """

    summary: dict[str, Any]
    measured: dict[str, float] = field(default_factory=dict)
    series: Series = field(default_factory=dict)


StageFunction = Callable[[StageRequest, Progress], StageResult]
