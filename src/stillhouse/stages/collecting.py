"""A collection of songs: its sources opened, its plan filled, and what the plan's rules say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from stillhouse.core.errors import InputError, StillhouseError
from stillhouse.core.protocols import Progress
from stillhouse.core.rows import Row, StepCount
from stillhouse.data.collect.answers import Finder, LyricsGiver
from stillhouse.data.collect.client import Manners, PoliteClient
from stillhouse.data.collect.coverage import coverage_of
from stillhouse.data.collect.feeds import Feed, ListFeed, ProviderFeed
from stillhouse.data.collect.genius import Genius
from stillhouse.data.collect.json_api import JsonSongs, song_of
from stillhouse.data.collect.lrclib import Lrclib
from stillhouse.data.collect.musixmatch import Musixmatch
from stillhouse.data.collect.rounds import collect
from stillhouse.data.collect.selection import Selection
from stillhouse.data.collect.song_rows import fields_of, provenance_of
from stillhouse.data.collect.songs import Song
from stillhouse.data.readers import build_rows, read_rows, require_unchanged
from stillhouse.engines.keys import Secret, find_keys
from stillhouse.recipes.collection import Collection, Query, SongSource
from stillhouse.recipes.collection_plans import CollectionPlan
from stillhouse.recipes.rows import Source
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.sections import section_of
from stillhouse.store.replies import REPLIES, TURNS, ReplyStore

REFUSED = "refused.jsonl"
"""Songs that were offered and not kept, without their lyrics."""


@dataclass(frozen=True, slots=True)
class Songs:
    """What a collection came to.

    Attributes:
        rows: of the songs that were kept.
        counts: of all that were offered.
        summary: coverage and verdict.
        measured: requests that were sent in this run.
    """

    rows: Sequence[Row] = ()
    counts: Sequence[StepCount] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)


NO_SONGS = Songs()


def gather_songs(request: StageRequest, progress: Progress) -> Songs:
    """Fill a collection's plan, and write `refused.jsonl` with why other songs were not kept.

    Args:
        request: with a collection in its configuration and in its access.
        progress: hears of songs that are kept.

    Returns:
        The songs, and what the plan's rules say of them.

    Raises:
        StillhouseError: the plan is not filled; every reply so far is kept.
    """
    collection = section_of(Collection, request.access["collection"])
    plan = section_of(CollectionPlan, request.config["plan"])
    base, folder = Path(request.locations["base"]), Path(request.access["collected"])
    counts_as = {name: one.counts_as or name for name, one in collection.sources.items()}
    selection = Selection(plan, counts_as)
    store = ReplyStore(folder / REPLIES)
    try:
        work = _Work(collection, base, store, folder / TURNS)
        num_sent = asyncio.run(work.fill(selection, progress))
        for name, source in collection.sources.items():
            if source.file:
                require_unchanged(base / source.file.path, request.config["asked"][name])
        refuse_unfilled(selection)
        coverage = coverage_of(selection)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        store.note_verdict(plan.name, plan.digest(), coverage["verdict"], now)
    finally:
        store.close()
    _write_refused(request.out / REFUSED, selection)
    rows = list(build_rows((provenance_of(one), fields_of(one)) for one in selection.kept))
    sent = {f"requests_{name}": float(number) for name, number in sorted(num_sent.items())}
    return Songs(rows, [_count(selection)], {"collection": coverage}, sent)


class _Work:
    """The sources of a collection, opened."""

    def __init__(self, collection: Collection, base: Path, store: ReplyStore, turns: Path) -> None:
        self._collection = collection
        self._base = base
        self._store = store
        self._turns = turns

    async def fill(self, selection: Selection, progress: Progress) -> Mapping[str, int]:
        """Fill a selection; how many requests were sent for each source."""
        collection = self._collection
        pauses = {name: pause_of(source) for name, source in collection.sources.items()}
        client = PoliteClient(
            Manners(collection.contact), self._store, self._turns, self._keys(), pauses
        )
        async with client:
            feeds = [self._feed(name, client) for name in collection.sources]
            await collect(feeds, selection, progress)
        return client.num_sent

    def _keys(self) -> dict[str, Secret]:
        found = {}
        for name, source in self._collection.sources.items():
            if source.key_env:
                secret = find_keys([source.key_env], self._base)[0].secret
                assert secret is not None
                found[name] = secret
        return found

    def _feed(self, name: str, client: PoliteClient) -> Feed:
        source = self._collection.sources[name]
        if source.file:
            return ListFeed(name, source, partial(_songs_of_file, name, source, self._base))
        giver_name = source.lyrics_from or (name if source.kind == "musixmatch" else "")
        gives = self._collection.sources[giver_name] if giver_name else source
        giver = _giver(giver_name, gives) if giver_name else None
        queries, finder = queries_of(source, self._base), _finder(name, source)
        return ProviderFeed(name, source, queries, finder, giver, giver_name, gives.terms, client)


def _finder(name: str, source: SongSource) -> Finder:
    if source.api:
        return JsonSongs(name, source.api)
    made: dict[str, type[Lrclib | Genius | Musixmatch]] = {
        "lrclib": Lrclib,
        "genius": Genius,
        "musixmatch": Musixmatch,
    }
    return made[source.kind](name, source.home)


def _giver(name: str, source: SongSource) -> LyricsGiver:
    made: dict[str, type[Lrclib | Musixmatch]] = {"lrclib": Lrclib, "musixmatch": Musixmatch}
    return made[source.kind](name, source.home)


def pause_of(source: SongSource) -> float:
    """Seconds from a reply to the next request of a source."""
    return source.seconds_between


def queries_of(source: SongSource, base: Path) -> Sequence[Query]:
    """All that a source is asked for: what the recipe says, then what its file says.

    Args:
        source: of a collection.
        base: what a relative path starts from.

    Returns:
        One query at least.

    Raises:
        InputError: the file cannot be read, or a row of it asks for nothing.
    """
    found = list(source.queries)
    for row in read_rows(Source(file=source.queries_file), base) if source.queries_file else ():
        words = {name: str(row.fields.get(name) or "").strip() for name in Query.model_fields}
        if not (words["words"] or words["artist"] or words["title"]):
            raise InputError(
                f"{row.provenance}: asks for nothing",
                f"its columns are {', '.join(Query.model_fields)}; fill words, artist or title",
            )
        found.append(Query(**words))
    # An API without places for words is asked once for all that it has.
    return found or [Query(words="all")]


def _songs_of_file(name: str, source: SongSource, base: Path) -> Iterable[Song | None]:
    listed = source.file
    assert listed is not None
    wanted = Source(file=listed.path, records=listed.records, encoding=listed.encoding)
    for row in read_rows(wanted, base):
        song = song_of(name, row.fields, listed.fields)
        yield song and _placed(song, row)


def _placed(song: Song, row: Row) -> Song:
    return replace(song, source_id=song.source_id or row.row_id, url=song.url or row.provenance)


def refuse_unfilled(selection: Selection) -> None:
    """Raise where a plan is not filled.

    Args:
        selection: when its sources have no more.

    Raises:
        StillhouseError: what is missing, which source was stopped and why, and what to do.
    """
    missing = selection.missing()
    if not missing:
        return
    stopped = [
        f"{name} was stopped ({tally.stopped}"
        + (f", ask again in {tally.rest_s / 60:.0f} min)" if tally.rest_s else ")")
        for name, tally in selection.tallies.items()
        if tally.stopped
    ]
    why = "; ".join([*missing, *stopped])
    failed = any(tally.requests["error"] for tally in selection.tallies.values())
    hint = (
        "run the same command again to go on: replies are kept, only the others are asked"
        if stopped or failed
        else "the sources have no more: add queries or sources, or ask for less in a plan of your "
        "own; replies are kept"
    )
    raise StillhouseError(f"the plan {selection.plan.name} is not filled: {why}", hint)


def _write_refused(path: Path, selection: Selection) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for one in selection.refused:
            told = {
                "source": one.song.source,
                "source_id": one.song.source_id,
                "title": one.song.title,
                "artist": one.song.artist,
                "reason": one.reason,
                "evidence": one.evidence,
            }
            stream.write(json.dumps(told, ensure_ascii=False) + "\n")


def _count(selection: Selection) -> StepCount:
    dropped: dict[str, int] = {}
    for tally in selection.tallies.values():
        for reason, number in tally.reasons.items():
            dropped[reason] = dropped.get(reason, 0) + number
    offered = sum(tally.offered for tally in selection.tallies.values())
    return StepCount("collect", offered, len(selection.kept), dict(sorted(dropped.items())))
