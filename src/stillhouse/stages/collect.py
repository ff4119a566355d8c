"""Collect: rows from a file, a data set or a task's generator, with the columns that are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stillhouse.core.protocols import Progress
from stillhouse.core.rows import Row
from stillhouse.data.shards import COLLECTED
from stillhouse.data.storage import write_rows
from stillhouse.recipes.rows import Collect
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.rows import iterate_rows
from stillhouse.stages.sections import section_of


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write `rows.parquet`."""
    plain = request.config["collect"]
    source = plain["source"] | {"file": request.locations["source"] or None}
    collect = section_of(Collect, plain | {"source": source})
    rows = _Counted(iterate_rows(collect, Path(request.locations["base"])))
    write_rows(request.out / COLLECTED, rows)
    progress(rows.number, rows.number, "rows")
    return StageResult({"rows": rows.number})


@dataclass(slots=True)
class _Counted:
    """Rows that are counted as they pass, because they may be more than memory holds."""

    rows: Iterator[Row]
    number: int = 0

    def __iter__(self) -> Iterator[Row]:
        for row in self.rows:
            self.number += 1
            yield row
