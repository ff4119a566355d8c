"""Collect: rows from wherever a recipe's source says, with the columns that are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stillhouse.core.protocols import Progress
from stillhouse.core.rows import Row
from stillhouse.data.account import check_balance
from stillhouse.data.execution import ENDED
from stillhouse.data.readers import find_file, require_unchanged
from stillhouse.data.rights import Held
from stillhouse.data.rights_file import write_rights
from stillhouse.data.shards import COLLECTED, shard_path
from stillhouse.data.storage import write_ended, write_rows
from stillhouse.recipes.rows import Collect
from stillhouse.stages.collecting import NO_SONGS, Songs, gather_songs
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.holding import RIGHTS, Collected, asks_of_rows, rights_summary
from stillhouse.stages.rows import choose_rows, collect_rows, iterate_rows
from stillhouse.stages.sections import section_of


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write `rows.parquet`, and where something is asked of the rows, what became of the others."""
    plain, held = request.config["collect"], _held(request.config)
    base = Path(request.locations["base"])
    if "plan" in request.config:
        source = {"collection": request.access["collection"]}
        collect = section_of(Collect, plain | {"source": source})
        songs = gather_songs(request, progress)
        return _write(request, collect, choose_rows(songs.rows, collect, base, held), songs)
    source = plain["source"] | {"file": request.locations["source"] or None}
    collect = section_of(Collect, plain | {"source": source})
    if not asks_of_rows(collect, held):
        rows = _Counted(iterate_rows(collect, base))
        write_rows(request.out / COLLECTED, rows)
        _require_unchanged(request, collect, base)
        progress(rows.number, rows.number, "rows")
        return StageResult({"rows": rows.number})
    found = collect_rows(collect, base, held)
    _require_unchanged(request, collect, base)
    progress(len(found.rows), len(found.rows), "rows")
    return _write(request, collect, found, NO_SONGS)


def _require_unchanged(request: StageRequest, collect: Collect, base: Path) -> None:
    """Refuse rows that are not those by whose digest the artifact will be known."""
    if collect.source.file:
        require_unchanged(find_file(collect.source, base), request.config["content"])


def _write(request: StageRequest, collect: Collect, found: Collected, songs: Songs) -> StageResult:
    write_rows(request.out / COLLECTED, found.rows)
    counts = [*songs.counts, *found.counts]
    check_balance(counts, counts[0].rows_in, len(found.rows))
    summary = {"rows": len(found.rows), **songs.summary, "flow": [asdict(one) for one in counts]}
    if found.counts:
        write_rights(request.out / RIGHTS, found.rights)
        write_ended(shard_path(request.out / ENDED, 0), found.ended)
        summary |= rights_summary(collect, found)
    return StageResult(summary, songs.measured)


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
