"""Reading a run that is there: its status, and the gate asked about another candidate."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.evals.gates import Verdict
from stillhouse.export.bundle_files import BUNDLE
from stillhouse.recipes.waiting import waiting
from stillhouse.runner.run import Place
from stillhouse.stages.gate import ask_gate


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One instance of a run: whether its artifact is there, and what it cost."""

    key: str
    artifact_id: str
    is_done: bool
    seconds: float | None
    peak_bytes: int | None
    summary: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How far a run is.

    Attributes:
        name: of the run.
        state: running, passed, refused, failed or interrupted.
        failed: the instance at which it failed.
        message: why.
        report: its page; empty while there is none.
        stages: in the order of work.
        waiting: what its recipe says for services that are not there yet.
        bundle: the folder of the student that ships; empty while there is none.
    """

    name: str
    state: str
    failed: str
    message: str
    report: str
    stages: tuple[StageStatus, ...]
    waiting: tuple[str, ...] = ()
    bundle: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def read_status(place: Place) -> RunStatus:
    """The status of a run.

    Args:
        place: the run.

    Returns:
        Every instance, in the order of work.

    Raises:
        InputError: no such run.
        ArtifactError: a manifest is torn.
    """
    record = place.folder.read()
    stages = []
    for item in record.instances:
        manifest = place.store.find(item.artifact_id)
        measured = place.store.read_measured(item.artifact_id) if manifest else {}
        peak = measured.get("peak_bytes")
        stages.append(
            StageStatus(
                item.key,
                item.artifact_id,
                manifest is not None,
                measured.get("seconds"),
                int(peak) if peak else None,
                manifest.summary if manifest else {},
            )
        )
    shipped = (one.artifact_id for one in stages if one.key == "export" and one.is_done)
    bundle = next((str(place.store.path(name) / BUNDLE) for name in shipped), "")
    report = str(place.folder.report) if place.folder.report.exists() else ""
    return RunStatus(
        record.name,
        record.state,
        record.failed,
        record.message,
        report,
        tuple(stages),
        waiting(record.recipe),
        bundle,
    )


def judge(place: Place, candidate: str) -> Verdict:
    """The recipe's gate asked about a candidate of a run.

    Args:
        place: the run.
        candidate: `student`, `twin` or `teacher`; `finetuned` and `exported` have gates of
            their own.

    Returns:
        The verdict; nothing is written.

    Raises:
        InputError: the run has no gate, or was not measured yet.
    """
    record = place.folder.read()
    gates = [item for item in record.instances if item.stage == "gate"]
    if not gates:
        raise InputError(f"the recipe of {place.name!r} has no gate", "add a gate section")
    # Its own gate, else one that knows it, else the first, whose error names those it knows.
    own = [item for item in gates if item.key.partition("@")[2] == candidate]
    knowing = [item for item in gates if candidate in item.inputs]
    gate = [*own, *knowing, *gates][0]
    manifests = {
        item.key: place.store.find(item.artifact_id)
        for item in record.instances
        if item.key in {gate.key, *gate.inputs.values()}
    }
    missing = next((key for key, manifest in manifests.items() if manifest is None), "")
    asked = manifests[gate.key]
    if missing or asked is None:
        raise InputError(f"{missing} of {place.name!r} is not there yet", "run the recipe first")
    ids = {item.key: item.artifact_id for item in record.instances}
    inputs = {name: place.store.path(ids[key]) for name, key in gate.inputs.items()}
    # As the run asked it: without the rules on what only another form has, such as bundle_bytes.
    return ask_gate(asked.config, inputs, candidate)
