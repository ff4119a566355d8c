"""Running a plan: what is finished is reused, what is not runs in a process of its own."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.core.errors import (
    ArtifactError,
    GateRefusedError,
    InterruptedRunError,
    StillhouseError,
    UsageError,
)
from stillhouse.core.files import disk_full_is_clear
from stillhouse.engines.keys import find_keys
from stillhouse.evals.gates import Verdict
from stillhouse.recipes.baselines import Analyser
from stillhouse.recipes.collection import Collection
from stillhouse.recipes.endpoints import ApiEndpoint
from stillhouse.recipes.plan import STAGE_VERSIONS, Instance, Plan
from stillhouse.recipes.schema import Recipe
from stillhouse.runner.collecting import require_collectable
from stillhouse.runner.events import Event, OnEvent, ignore
from stillhouse.runner.extras import require_gguf, require_harness, require_train
from stillhouse.runner.pages import write_run_report
from stillhouse.runner.references import require_prepared
from stillhouse.runner.resolve import Resolved
from stillhouse.runner.row_files import write_row_files
from stillhouse.runner.trackers import tracker_request
from stillhouse.runner.versions import library_versions
from stillhouse.runner.worker import StageOutcome, StageServer
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.table import entry_of
from stillhouse.store.account import ACCOUNT
from stillhouse.store.artifacts import ArtifactStore, Manifest
from stillhouse.store.erasures import Erasures, read_erasures
from stillhouse.store.lock import hold_lock
from stillhouse.store.replies import COLLECTED
from stillhouse.store.runs import RunFolder, RunInstance, RunRecord

_TOLD = ("trainable_parameters", "parameters", "galore_rank", "galore_projections")
"""Of a stage's summary, what people hear when it is done."""
_TRAININGS = ("finetune", "train")

_REFUSED = {
    "finetuned": ("the fine-tuned teacher", "nothing was labelled"),
    "student": ("the student", "nothing was exported"),
    "exported": ("the exported student", "nothing was registered"),
}
"""Who a gate is asked about, and what did not happen where it says no."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run keeps its files.

    Attributes:
        root: the runs root; artifacts below it are shared by its runs.
        name: of the run.
    """

    root: Path
    name: str

    @property
    def folder(self) -> RunFolder:
        """The run's own folder."""
        return RunFolder(self.root / self.name)

    @property
    def store(self) -> ArtifactStore:
        """The artifacts of all runs of this root."""
        return ArtifactStore(self.root / "artifacts")

    @property
    def account(self) -> Path:
        """The folder of what was asked of models behind an API, by all runs of this root."""
        return self.root / ACCOUNT

    def collecting(self, collection: Collection) -> dict[str, Any]:
        """What a collection needs that changes none of its songs."""
        plain = collection.model_dump(mode="json")
        return {"collection": plain, "collected": str(self.root / COLLECTED)}

    @property
    def erasures(self) -> Erasures:
        """What people asked to be erased of all runs of this root."""
        return read_erasures(self.root)

    def holds_all(self, plan: Plan) -> bool:
        """Whether nothing of a plan is left to do; says nothing of torn artifacts."""
        return all(self.store.path(item.artifact_id).exists() for item in plan.instances)


def refuse_early(resolved: Resolved, place: Place) -> None:
    """Refuse a collection that lacks a key, or the plan before it, unless it is there already."""
    if place.store.path(resolved.plan["collect"].artifact_id).exists():
        return
    require_collectable(resolved.recipe, resolved.loaded.base_folder, place.root)


def execute(
    resolved: Resolved, place: Place, *, from_stage: str = "", on_event: OnEvent = ignore
) -> RunRecord:
    """Run what is not finished yet, in order, and write the report.

    Args:
        resolved: the recipe with its plan.
        place: where to keep the files.
        from_stage: make this stage or instance and all that depends on it again.
        on_event: is told what happens.

    Returns:
        The record of the finished run.

    Raises:
        UsageError: the recipe has no stage of the name `from_stage`.
        BusyError: another process runs in this folder.
        GateRefusedError: the gate said no; what comes after it was not made.
        InterruptedRunError: Ctrl-C.
        StillhouseError: a stage failed; a second run goes on from there.
    """
    if from_stage and not resolved.plan.after(from_stage):
        known = ", ".join(dict.fromkeys(item.stage for item in resolved.plan.instances))
        raise UsageError(f"--from {from_stage}: no such stage in this recipe", f"stages: {known}")
    folder = place.folder
    lock = hold_lock(
        folder.lock,
        f"{folder.path} is in use",
        "wait for it, end it, or give this run another name with --name",
    )
    with disk_full_is_clear(place.root), lock:
        run = _Run(resolved, place, on_event)
        folder.write(run.record, resolved.recipe_text())
        try:
            run.work(from_stage)
        except KeyboardInterrupt:
            run.finish("interrupted", "interrupted by Ctrl-C")
            hint = "run the same command again to go on from the last finished work"
            raise InterruptedRunError("interrupted", hint + run.without_from) from None
        except GateRefusedError as error:
            run.finish("refused", error.message)
            raise
        except StillhouseError as error:
            run.finish("failed", error.message)
            error.hint += run.without_from
            raise
        run.finish("passed", "")
        return run.record


class _Run:
    """One execution of a plan."""

    def __init__(self, resolved: Resolved, place: Place, on_event: OnEvent) -> None:
        self.resolved = resolved
        self.place = place
        self.folder = place.folder
        self.store = place.store
        self._on_event = on_event
        self._servers: dict[bool, StageServer] = {}
        self._trackers: dict[str, Any] = {}
        self._at = ""
        self.without_from = ""
        instances = tuple(
            RunInstance(
                key=item.key, stage=item.stage, artifact_id=item.artifact_id, inputs=item.inputs
            )
            for item in resolved.plan.instances
        )
        recipe = resolved.recipe.model_dump(mode="json", by_alias=True)
        self.record = RunRecord(name=place.name, recipe=recipe, instances=instances)

    def tell(self, event: Event) -> None:
        """Pass an event on; all but progress is kept in the run's events too."""
        if event.kind != "progress":
            self.folder.append_event(event.kind, instance=event.instance, **event.values)
        self._on_event(event)

    def finish(self, state: str, message: str) -> None:
        """Keep how the run ended and write its report.

        A run that failed already says why; that its report cannot be written, on a full disk
        perhaps, must not hide it.
        """
        try:
            self._finish(state, message)
        except (StillhouseError, OSError):
            if state == "passed":
                raise

    def _finish(self, state: str, message: str) -> None:
        failed = self._at if state != "passed" else ""
        self.record = self.record.model_copy(
            update={"state": state, "failed": failed, "message": message}
        )
        self.folder.update(self.record)
        if failed:
            self.tell(Event("failed", failed, {"state": state, "message": message}))
        write_row_files(self.folder, self.store)
        path = write_run_report(self.folder, self.store)
        self.tell(Event("run", "", {"state": state, "report": str(path)}))

    def work(self, from_stage: str) -> None:
        """Make every artifact that is not there."""
        self.tell(Event("run", "", {"state": "running", "run": self.place.name}))
        for note in self.resolved.compute.notes:
            self.tell(Event("note", "compute", {"message": note}))
        if from_stage:
            self._forget(from_stage)
        with ExitStack() as stack:
            mine = [item.artifact_id for item in self.resolved.plan.instances]
            stack.enter_context(self.store.in_use(mine))
            finished = {item.key: self._find(item) for item in self.resolved.plan.instances}
            waiting = [item for item in self.resolved.plan.instances if not finished[item.key]]
            self._find_keys(waiting)
            self._start_servers(stack, waiting)
            for instance in self.resolved.plan.instances:
                self._at = instance.key
                manifest = finished[instance.key]
                if manifest:
                    self.tell(Event("reused", instance.key, {"artifact": instance.artifact_id}))
                else:
                    manifest = self._make(instance)
                if instance.stage == "prepare" and waiting:
                    require_prepared(self.resolved.recipe, self.store.path(instance.artifact_id))
                if instance.stage == "gate":
                    self._obey(manifest)

    def _find_keys(self, waiting: list[Instance]) -> None:
        """Miss a key or a tracker before the first stage, not after hours of work."""
        if any(instance.stage in _TRAININGS for instance in waiting):
            self._trackers = tracker_request(self.resolved.recipe, self.folder.path)
        if any(instance.stage == "collect" for instance in waiting):
            refuse_early(self.resolved, self.place)
        if any(self._access(instance) for instance in waiting):
            for api in self.resolved.recipe.endpoints.values():
                find_keys(api.key_names, self.resolved.loaded.base_folder)

    def _start_servers(self, stack: ExitStack, waiting: list[Instance]) -> None:
        entries = {entry_of(item.stage, item.config): None for item in waiting}
        kinds = {entry.needs_torch for entry in entries}
        if True in kinds:
            require_train()
        if any(item.stage == "harness" for item in waiting):
            require_harness()
        if (
            any(item.stage == "export" for item in waiting)
            and self.resolved.recipe.export.gguf_files
        ):
            require_gguf()
        for heavy in kinds:
            server = StageServer(
                self.folder.path / "log.txt",
                threads=self.resolved.compute.threads,
                card=self.resolved.compute.card,
                preload=heavy,
                modules=[entry.module for entry in entries if entry.needs_torch == heavy],
                is_offline=self.resolved.recipe.network == "none",
            )
            self._servers[heavy] = stack.enter_context(server)

    def _find(self, instance: Instance) -> Manifest | None:
        try:
            manifest = self.store.find(instance.artifact_id)
        except ArtifactError as error:
            aside = self.store.quarantine(instance.artifact_id)
            note = f"{error.message}; moved aside to {aside.name}, made anew"
            self.tell(Event("note", instance.key, {"message": note}))
            return None
        if manifest:
            # A crash after the rename leaves the work folder behind.
            self.store.forget_work(instance.artifact_id)
        return manifest

    def _forget(self, stage: str) -> None:
        for instance in self.resolved.plan.after(stage):
            self.store.remove(instance.artifact_id)
        self.without_from = f"; leave --from {stage} out then: it makes anew what is done by now"

    def _make(self, instance: Instance) -> Manifest:
        self.tell(Event("start", instance.key, {"artifact": instance.artifact_id}))
        started = time.monotonic()
        with self.store.work_folder(instance.artifact_id) as work:
            # Another run may have finished it while this one worked, or a crash may have left
            # nothing but the rename.
            manifest = self.store.find(instance.artifact_id)
            if manifest is None:
                outcome = self._run_process(instance, work)
                outcome.measured["seconds"] = time.monotonic() - started
                manifest = self.store.seal(self._manifest(instance, outcome))
                self.store.write_measured(instance.artifact_id, outcome.measured, outcome.series)
        seconds = time.monotonic() - started
        told = {name: manifest.summary[name] for name in _TOLD if name in manifest.summary}
        self.tell(Event("done", instance.key, {"seconds": round(seconds, 2), **told}))
        return manifest

    def _run_process(self, instance: Instance, work: Path) -> StageOutcome:
        network = self.resolved.recipe.network
        request = StageRequest(
            stage=instance.stage,
            variant=instance.variant,
            artifact_id=instance.artifact_id,
            config=instance.config,
            inputs={
                name: self.store.path(self.resolved.plan[key].artifact_id)
                for name, key in instance.inputs.items()
            },
            out=work / "out",
            scratch=work / "scratch",
            locations=self.resolved.locations | {"registry": str(self.place.root / "registry")},
            network=network if isinstance(network, str) else list(network),
            access=self._access(instance),
            trackers=self._trackers if instance.stage in _TRAININGS else {},
        )
        server = self._servers[entry_of(instance.stage, instance.config).needs_torch]
        try:
            return server.run(
                request, lambda values: self.tell(Event("progress", instance.key, values))
            )
        except UsageError:
            self.store.forget_fruitless_work(instance.artifact_id)
            raise

    def _access(self, instance: Instance) -> dict[str, Any]:
        recipe = self.resolved.recipe
        collection = recipe.collect.source.collection
        if instance.stage == "collect":
            return self.place.collecting(collection) if collection else {}
        asked, service = _asked(recipe, instance)
        judges = recipe.label.judges if instance.stage == "label" else ()
        engines = _step_engines(recipe, instance)
        if asked is None and service is None and not judges and not engines:
            return {}
        return {
            "api": asked and asked.model_dump(mode="json"),
            "http": service and service.model_dump(mode="json"),
            "judges": [judge.api.model_dump(mode="json") for judge in judges],
            "engines": engines,
            "account": str(self.place.account),
            "run": self.place.name,
            "deferred_at_most": recipe.label.deferred_at_most,
        }

    def _manifest(self, instance: Instance, outcome: StageOutcome) -> Manifest:
        return Manifest(
            artifact_id=instance.artifact_id,
            instance=instance.key,
            stage_version=STAGE_VERSIONS[instance.stage],
            config=instance.config,
            inputs={
                name: self.resolved.plan[key].artifact_id for name, key in instance.inputs.items()
            },
            files=(),
            summary=outcome.summary,
            versions=library_versions(),
        )

    def _obey(self, manifest: Manifest) -> None:
        verdict = Verdict.model_validate(manifest.summary["verdict"])
        if verdict.passed or not manifest.config["gate"]["enforce"]:
            return
        name, _, weights = verdict.candidate.partition("-")
        who = _REFUSED[name]
        raise GateRefusedError(
            f"the gate refused {who[0]}{f' in {weights}' if weights else ''}:\n  "
            + "\n  ".join(verdict.reasons),
            f"{who[1]}; the recipe names the fallback: {verdict.fallback}",
        )


def _asked(recipe: Recipe, instance: Instance) -> tuple[ApiEndpoint | None, Analyser | None]:
    """The model behind an API, or the service, that an instance asks."""
    if instance.stage == "judge":
        return (recipe.evaluate.judge.api if recipe.evaluate.judge else None), None
    if "baseline" in instance.config:
        named = (one for one in recipe.evaluate.baselines if one.name == instance.variant)
        baseline = next(named)
        return baseline.api, baseline.http
    return (recipe.teacher.api if "endpoint" in instance.config else None), None


def _step_engines(recipe: Recipe, instance: Instance) -> dict[str, Any]:
    """The models behind an API that a step of the rows asks, by their key below it."""
    if "engines" not in instance.config:
        return {}
    _, step = recipe.prepare.asking[instance.variant]
    return {
        place: engine.api.model_dump(mode="json")
        for place, engine in step.asked.items()
        if engine.api
    }
