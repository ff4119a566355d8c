"""What a bundle's data card says, gathered from the manifests back to the rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stillhouse.core.rows import StepCount
from stillhouse.export.data_card import DataFacts
from stillhouse.recipes.rights import Rights

_LET_THROUGH = "rows were let through"


def manifests_of(prepared: Path) -> Iterator[dict[str, Any]]:
    """The manifests that made these examples, the youngest first; `collect` is the last one.

    Args:
        prepared: what `prepare` made.

    Yields:
        Each, as it was written.
    """
    folder = prepared
    while True:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
        yield manifest
        if manifest["instance"] == "collect":
            return
        folder = folder.parent / manifest["inputs"]["rows"]


def data_facts(name: str, prepared: Path, learned: int) -> DataFacts:
    """The facts of a data card.

    Args:
        name: of the student.
        prepared: what `prepare` made.
        learned: examples that the student was trained on.

    Returns:
        Counts, and no text of a row.
    """
    *steps, collected = manifests_of(prepared)
    made = [collected, *reversed(steps)]
    flow = [
        StepCount(**one)
        for manifest in made
        for one in manifest["summary"].get("flow", ())
    ]  # fmt: skip
    parts = steps[0]["summary"]["parts"] if steps else {}
    tokens = steps[0]["summary"]["tokens"] if steps else {}
    summary, section = collected["summary"], collected["config"]["collect"]
    return DataFacts(
        name=name,
        sources=[_source(section.get("source", {}), collected["config"])],
        rows=summary["rows"],
        licences=summary.get("licences", {}) or _own(section.get("source", {}), summary["rows"]),
        consent=list(_consent(Rights.model_validate(section.get("rights", {}), strict=False))),
        let_through=[one for one in summary.get("warnings", ()) if _LET_THROUGH in one],
        flow=flow,
        parts={part: (number, tokens.get(part, 0)) for part, number in sorted(parts.items())},
        learned=learned,
    )


def _own(source: dict[str, Any], rows: int) -> dict[str, int]:
    return {"made by Stillhouse": rows} if source.get("sample_rows") else {}


def _source(source: dict[str, Any], config: dict[str, Any]) -> str:
    if made := source.get("sample_rows"):
        return f"made by Stillhouse: task `{made['task']}`, seed {made['seed']}"
    if dataset := source.get("dataset"):
        known = (
            Path(str(dataset["id"])).name if Path(dataset["id"]).is_absolute() else dataset["id"]
        )
        return f"the data set `{known}`, split `{dataset['split']}`"
    if "plan" in config:
        return "songs, collected from providers by a plan"
    return f"a file, known by the digest of its content, `{config.get('content', '')}`"


def _consent(rights: Rights) -> Iterator[str]:
    if rights.asks_consent:
        is_kept = "missing_consent" in rights.let_through
        yield f"each row needed consent; a row without it was {'kept' if is_kept else 'left out'}"
    if rights.hash_fields:
        yield f"hashed before anything was written: {', '.join(rights.hash_fields)}"
    if rights.keep_days:
        yield f"rows older than {rights.keep_days} days were left out"
