"""Collect: rows from wherever a recipe's source says, with the columns that are kept."""

from __future__ import annotations

from pathlib import Path

from stillhouse.core.protocols import Progress
from stillhouse.data.shards import COLLECTED
from stillhouse.data.storage import write_rows
from stillhouse.recipes.rows import Collect
from stillhouse.stages.collecting import run_collection
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.rows import iterate_rows
from stillhouse.stages.sections import section_of


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write `rows.parquet`."""
    if "plan" in request.config:
        return run_collection(request, progress)
    plain = request.config["collect"]
    source = plain["source"] | {"file": request.locations["source"] or None}
    collect = section_of(Collect, plain | {"source": source})
    rows = list(iterate_rows(collect, Path(request.locations["base"])))
    progress(len(rows), len(rows), "rows")
    write_rows(request.out / COLLECTED, rows)
    return StageResult({"rows": len(rows)})
