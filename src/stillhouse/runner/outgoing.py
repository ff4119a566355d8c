"""What may leave this machine of a run: the bundle that its gate passed, in the bytes of then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stillhouse.core.errors import ArtifactError, GateRefusedError, InputError
from stillhouse.export.bundle_files import BUNDLE, BundleFile, bundle_files
from stillhouse.recipes.schema import Recipe
from stillhouse.runner.run import Place
from stillhouse.store.artifacts import FileEntry, Manifest
from stillhouse.store.runs import RunInstance, RunRecord

_UNGATED = "--without-gate"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A bundle that may leave.

    Attributes:
        place: of its run.
        recipe: as it was run.
        record: of its run.
        export: the manifest of its artifact.
        folder: the bundle.
        files: each with its digest, which was compared.
        version: its id in the registry; empty where the run has not registered it.
        gates: instances whose gate passed it.
    """

    place: Place
    recipe: Recipe
    record: RunRecord
    export: Manifest
    folder: Path
    files: tuple[BundleFile, ...]
    version: str
    gates: tuple[str, ...]

    def manifest(self, stage: str) -> Manifest | None:
        """Of the first finished instance of a stage."""
        return next((one for _, one in _finished(self.place, self.record, stage)), None)

    def artifact(self, stage: str) -> Path:
        """Where that one lies; an `InputError` where it is not there."""
        found = self.manifest(stage)
        if found is None:
            raise InputError(f"{stage} of {self.place.name!r} is not there", "run the recipe again")
        return self.place.store.path(found.artifact_id)

    def tell(self, to: str, **values: Any) -> None:
        """Note in the run's events that it went out, where to, and which gates passed it."""
        what = {"version": self.version, "artifact": self.export.artifact_id}
        noted: dict[str, Any] = {**what, "gates": list(self.gates), **values}
        self.place.folder.append_event("shipped", to=to, **noted)


def recipe_of(place: Place) -> Recipe:
    """The recipe of a run, as it was run.

    Args:
        place: of the run.

    Returns:
        The recipe.

    Raises:
        InputError: there is no such run.
        ArtifactError: this version does not take its recipe.
    """
    try:
        return Recipe.model_validate_json(json.dumps(place.folder.read().recipe))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ArtifactError(
            f"the recipe of {place.name!r} is none of this version: {key}: {first['msg']}",
            "run it again with this version; what is unchanged is reused",
        ) from None


def open_outgoing(place: Place, form: str = "", *, is_ungated: bool = False) -> Outgoing:
    """The bundle of a run, if it may leave.

    Args:
        place: of the run.
        form: the weights of the one GGUF file that leaves, whose gate is asked alone beside the
            student's; empty for all that was gated.
        is_ungated: let a recipe without any gate pass; one that refused is never let pass.

    Returns:
        The bundle, each file compared with its digest.

    Raises:
        InputError: no such run, or it is not finished.
        GateRefusedError: a gate refused it, or there is none.
        ArtifactError: a file is not what was gated.
    """
    record, recipe = place.folder.read(), recipe_of(place)
    exported = next(_finished(place, record, "export"), None)
    if exported is None:
        raise InputError(
            f"{place.name!r} has exported nothing yet (it is {record.state})", "run its recipe"
        )
    export = exported[1]
    gates = _passed_gates(place, record, recipe, form)
    if not gates and not is_ungated:
        raise GateRefusedError(
            f"the recipe of {place.name!r} has no gate, so nobody said that this student may leave",
            f"add a gate section and run it again; or say {_UNGATED}, which is noted in the run",
        )
    folder = place.store.path(export.artifact_id) / BUNDLE
    files = bundle_files(folder, _inside_bundle(export))
    registered = next(_finished(place, record, "register"), None)
    version = str(registered[1].summary["version_id"]) if registered else ""
    return Outgoing(place, recipe, record, export, folder, files, version, gates)


def _inside_bundle(export: Manifest) -> list[FileEntry]:
    prefix = f"{BUNDLE}/"
    return [
        one.model_copy(update={"path": one.path.removeprefix(prefix)})
        for one in export.files
        if one.path.startswith(prefix)
    ]


def _finished(
    place: Place, record: RunRecord, stage: str
) -> Iterator[tuple[RunInstance, Manifest]]:
    for item in record.instances:
        manifest = place.store.find(item.artifact_id) if item.stage == stage else None
        if manifest:
            yield item, manifest


def _passed_gates(place: Place, record: RunRecord, recipe: Recipe, form: str) -> tuple[str, ...]:
    """The gates that were asked about what leaves; an error where one is missing or refuses."""
    forms = recipe.export.evaluated
    left_out = {f"gate@{name}" for name, told in forms.items() if form and told.get("gguf") != form}
    asked = [
        item
        for item in record.instances
        if item.stage == "gate" and item.key != "gate@finetuned" and item.key not in left_out
    ]
    for item in asked:
        manifest = place.store.find(item.artifact_id)
        if manifest is None:
            raise InputError(
                f"{item.key} of {place.name!r} was not asked yet (the run is {record.state})",
                "run its recipe to the end",
            )
        verdict = manifest.summary["verdict"]
        if not verdict["passed"]:
            rules = [one["text"] for one in verdict["rules"] if one["decision"] != "pass"]
            raise GateRefusedError(
                f"{item.key} of {place.name!r} refuses it: {'; '.join(rules)}",
                "a refused student does not leave: train it further, or change the rules of the "
                "recipe and run it again",
            )
    return tuple(item.key for item in asked)
