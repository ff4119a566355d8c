"""A run's own folder: the recipe as it was run, its plan, its events, its report."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from stillhouse.core.errors import ArtifactError, InputError
from stillhouse.core.files import disk_full_is_clear, write_atomic, write_json
from stillhouse.store.lock import was_left

_KILLED = "its process was killed; run the same command again to go on from the last finished work"


class RunInstance(BaseModel):
    """One stage instance of a run and the artifact it makes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    stage: str
    artifact_id: str
    inputs: dict[str, str]


class RunRecord(BaseModel):
    """What a run is made of; enough for status, gate and report.

    Attributes:
        name: of the run folder.
        recipe: the effective recipe, every default included.
        instances: in the order of work; `inputs` name other instances' keys.
        state: how the last execution ended.
        failed: the key of the instance that ended it, and why.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    recipe: dict[str, Any]
    instances: tuple[RunInstance, ...]
    state: str = "running"
    failed: str = ""
    message: str = ""


class RunFolder:
    """The folder of one run below the runs root."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def report(self) -> Path:
        """The report page."""
        return self.path / "report.html"

    @property
    def events(self) -> Path:
        """One JSON object a line, appended by every execution of this run."""
        return self.path / "events.jsonl"

    def write(self, record: RunRecord, recipe_text: str) -> None:
        """Keep the record and the recipe's text."""
        self.path.mkdir(parents=True, exist_ok=True)
        with disk_full_is_clear(self.path):
            write_atomic(self.path / "recipe.yaml", recipe_text.encode())
            self.update(record)

    def update(self, record: RunRecord) -> None:
        """Replace the record."""
        with disk_full_is_clear(self.path):
            write_json(self.path / "run.json", record.model_dump(mode="json"))

    @property
    def lock(self) -> Path:
        """Held by the process that executes this run."""
        return self.path / "lock"

    def read(self) -> RunRecord:
        """The record of the run.

        Returns:
            The record, as the last execution left it; one that was killed could not say so itself.

        Raises:
            InputError: there is no such run.
            ArtifactError: its record is torn.
        """
        record = self._read()
        if record.state != "running" or not was_left(self.lock):
            return record
        # It may have ended as it should between the two looks.
        record = self._read()
        killed = {"state": "interrupted", "message": _KILLED}
        return record.model_copy(update=killed) if record.state == "running" else record

    def _read(self) -> RunRecord:
        path = self.path / "run.json"
        try:
            return RunRecord.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            root = self.path.parent
            found = sorted(p.parent.name for p in root.glob("*/run.json")) if root.exists() else []
            known = f"runs here: {', '.join(found)}" if found else "there is none here yet"
            raise InputError(f"no run {self.path.name!r} below {root}", known) from None
        except ValidationError as error:
            raise ArtifactError(
                f"{path}: torn ({error.errors()[0]['msg']})", "run the recipe again"
            ) from None

    def append_event(self, kind: str, **values: Any) -> None:
        """Add one line to the run's events."""
        line = json.dumps({"time": round(time.time(), 3), "event": kind, **values})
        with disk_full_is_clear(self.path), self.events.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
