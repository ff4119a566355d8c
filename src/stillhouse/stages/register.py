"""Register: the exported bundle becomes an immutable version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stillhouse.core.files import write_json
from stillhouse.core.protocols import Progress
from stillhouse.registry.versions import Registry
from stillhouse.stages.contract import StageRequest, StageResult


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Publish the bundle and write `version.json`."""
    bundle = request.inputs["bundle"]
    version = Registry(Path(request.locations["registry"])).publish(
        request.config["name"],
        bundle / "bundle",
        numbers=_summary(request.inputs["numbers"])["metrics"],
        verdict=_summary(request.inputs["gate"])["verdict"] if "gate" in request.inputs else {},
        made_by=_made_by(bundle),
    )
    plain = version.model_dump(mode="json")
    write_json(request.out / "version.json", plain)
    progress(1, 1, "versions")
    size = sum(file.bytes for file in version.files)
    return StageResult(
        {"version_id": version.version_id, "files": len(version.files), "bytes": size}
    )


def _manifest(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    return manifest


def _summary(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = _manifest(folder)["summary"]
    return summary


def _made_by(bundle: Path) -> dict[str, str]:
    """Instance to artifact id, from the bundle back to the rows."""
    made_by: dict[str, str] = {}
    waiting = [bundle]
    while waiting:
        manifest = _manifest(waiting.pop())
        if manifest["instance"] not in made_by:
            made_by[manifest["instance"]] = manifest["artifact_id"]
            waiting += [bundle.parent / name for name in manifest["inputs"].values()]
    return dict(sorted(made_by.items()))
