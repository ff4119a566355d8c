"""Collect: rows from wherever a recipe's source says, with the columns that are kept."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from stillhouse.core.protocols import Progress
from stillhouse.data.account import check_balance
from stillhouse.data.execution import ENDED
from stillhouse.data.rights import Held
from stillhouse.data.rights_file import write_rights
from stillhouse.data.shards import COLLECTED, shard_path
from stillhouse.data.storage import write_ended, write_rows
from stillhouse.recipes.rows import Collect
from stillhouse.stages.collecting import NO_SONGS, Songs, gather_songs
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.holding import RIGHTS, Collected, rights_summary
from stillhouse.stages.rows import choose_rows, collect_rows
from stillhouse.stages.sections import section_of


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write `rows.parquet`; where something is asked of them, `rights.parquet` and `ended/` too."""
    plain, held = request.config["collect"], _held(request.config)
    base = Path(request.locations["base"])
    if "plan" in request.config:
        source = {"collection": request.access["collection"]}
        collect = section_of(Collect, plain | {"source": source})
        songs = gather_songs(request, progress)
        found = choose_rows(songs.rows, collect, base, held)
        return _write(request, collect, found, songs)
    source = plain["source"] | {"file": request.locations["source"] or None}
    collect = section_of(Collect, plain | {"source": source})
    found = collect_rows(collect, base, held)
    progress(len(found.rows), len(found.rows), "rows")
    return _write(request, collect, found, NO_SONGS)


def _write(request: StageRequest, collect: Collect, found: Collected, songs: Songs) -> StageResult:
    write_rows(request.out / COLLECTED, found.rows)
    counts = [*songs.counts, *found.counts]
    summary: dict[str, Any] = {"rows": len(found.rows), **songs.summary}
    if found.counts:
        write_rights(request.out / RIGHTS, found.rights)
        write_ended(shard_path(request.out / ENDED, 0), found.ended)
        summary |= rights_summary(collect, found)
    if counts:
        check_balance(counts, counts[0].rows_in, len(found.rows))
        summary |= {"flow": [asdict(count) for count in counts]}
    return StageResult(summary, songs.measured)


def _held(config: dict[str, Any]) -> Held:
    held = config.get("held", {})
    erased = tuple((kind, name) for kind, name in held.get("erased", ()))
    return Held(erased, held.get("salt", ""), held.get("last_expired", ""))
