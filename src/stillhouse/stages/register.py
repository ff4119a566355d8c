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
        made_by={name: folder.name for name, folder in sorted(request.inputs.items())},
    )
    plain = version.model_dump(mode="json")
    write_json(request.out / "version.json", plain)
    progress(1, 1, "versions")
    size = sum(file.bytes for file in version.files)
    return StageResult(
        {"version_id": version.version_id, "files": len(version.files), "bytes": size}
    )


def _summary(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())["summary"]
    return summary
