"""Collect: rows from a file, a data set or a task's generator, with the columns that are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stillhouse.core.protocols import Progress
from stillhouse.core.rows import Row
from stillhouse.data.account import check_balance
from stillhouse.data.execution import ENDED
from stillhouse.data.rights import Held
from stillhouse.data.rights_file import write_rights
from stillhouse.data.shards import COLLECTED, shard_path
from stillhouse.data.storage import write_ended, write_rows
from stillhouse.recipes.rows import Collect
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.holding import RIGHTS, asks_of_rows, rights_summary
from stillhouse.stages.rows import collect_rows, iterate_rows
from stillhouse.stages.sections import section_of


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write `rows.parquet`, and where something is asked of the rows, what became of the others."""
    plain = request.config["collect"]
    source = plain["source"] | {"file": request.locations["source"] or None}
    collect = section_of(Collect, plain | {"source": source})
    base, held = Path(request.locations["base"]), _held(request.config)
    if not asks_of_rows(collect, held):
        rows = _Counted(iterate_rows(collect, base))
        write_rows(request.out / COLLECTED, rows)
        progress(rows.number, rows.number, "rows")
        return StageResult({"rows": rows.number})
    found = collect_rows(collect, base, held)
    check_balance(found.counts, found.counts[0].rows_in, len(found.rows))
    write_rows(request.out / COLLECTED, found.rows)
    write_rights(request.out / RIGHTS, found.rights)
    write_ended(shard_path(request.out / ENDED, 0), found.ended)
    progress(len(found.rows), len(found.rows), "rows")
    flow = {"flow": [asdict(count) for count in found.counts]}
    return StageResult({"rows": len(found.rows)} | rights_summary(collect, found) | flow)


@dataclass(slots=True)
class _Counted:
    """Rows that are counted as they pass, because they may be more than memory holds."""

    rows: Iterator[Row]
    number: int = 0

    def __iter__(self) -> Iterator[Row]:
        for row in self.rows:
            self.number += 1
            yield row


def _held(config: dict[str, Any]) -> Held:
    held = config.get("held", {})
    erased = tuple((kind, name) for kind, name in held.get("erased", ()))
    return Held(erased, held.get("salt", ""), held.get("last_expired", ""))
