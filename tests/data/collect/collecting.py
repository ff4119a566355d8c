"""Collections in tests: sources at a server of tests, at a pace that only tests have."""

import asyncio
from dataclasses import replace

from stillhouse.core.protocols import no_progress
from stillhouse.data.collect.client import Manners, PoliteClient
from stillhouse.data.collect.feeds import ListFeed, ProviderFeed
from stillhouse.data.collect.genius import Genius
from stillhouse.data.collect.json_api import JsonSongs
from stillhouse.data.collect.lrclib import Lrclib
from stillhouse.data.collect.musixmatch import Musixmatch
from stillhouse.data.collect.rounds import collect
from stillhouse.data.collect.selection import Selection
from stillhouse.recipes.collection import JsonApi, Query, SongList, SongSource
from stillhouse.recipes.collection_plans import CollectionPlan, Range, SongQuality
from stillhouse.store.replies import ReplyStore

QUICK = Manners(
    contact="tests@example.org", pause_s=0.0, patience_s=3.0, retry_s=0.01, rest_s=900.0
)
GENRE_QUERIES = tuple(
    Query(words=genre, genre=genre) for genre in ("pop", "rock", "christian", "jazz")
)


FIELDS = {
    "id": "no",
    "title": "name",
    "artist": "by.name",
    "genre": "genre",
    "lyrics": "verses",
}


class Hidden:
    """A key of a test."""

    def __init__(self, text):
        self.text = text

    def reveal(self):
        return self.text


def plan_of(most, least=None, **more):
    return CollectionPlan(
        name="trial",
        songs=Range(at_least=most if least is None else least, at_most=most),
        quality=more.pop("quality", SongQuality()),
        **more,
    )


def lrclib(url, *queries, **more):
    return SongSource(kind="lrclib", base_url=url, queries=queries or GENRE_QUERIES, **more)


def genius(url, *queries, **more):
    return SongSource(
        kind="genius", base_url=url, queries=queries or GENRE_QUERIES, key_env="K",
        **{"lyrics_from": "lrclib", **more},
    )  # fmt: skip


def musixmatch(url, *queries, **more):
    return SongSource(
        kind="musixmatch", base_url=url, queries=queries or GENRE_QUERIES, key_env="K", **more
    )


def hymns(url, **more):
    api = JsonApi(
        url=f"{url}/v1/hymns?offset={{offset}}&size={{size}}",
        records="data.hymns",
        fields=FIELDS,
        paging="offset",
        page_size=5,
    )  # fmt: skip
    return SongSource(kind="json_api", api=api, **more)


def a_list(path="list.jsonl", **more):
    return SongSource(kind="file", file=SongList(path=path), **more)


def feed_of(name, source, sources, client, listed=()):
    if source.file:
        return ListFeed(name, source, lambda: listed)
    kinds = {"lrclib": Lrclib, "genius": Genius, "musixmatch": Musixmatch}
    finder = JsonSongs(name, source.api) if source.api else kinds[source.kind](name, source.home)
    giver_name = source.lyrics_from or (name if source.kind == "musixmatch" else "")
    giver = giver_name and sources[giver_name]
    given = kinds[giver.kind](giver_name, giver.home) if giver else None
    queries = source.queries or (Query(words="all"),)
    terms = (giver or source).terms
    return ProviderFeed(name, source, queries, finder, given, giver_name, terms, client)


def gather(folder, plan, sources, *, manners=QUICK, key="planted-token", listed=(), wall=None):
    """The selection that a collection comes to, and how many requests it sent."""
    store = ReplyStore(folder / "replies.sqlite", **({"wall": wall} if wall else {}))
    selection = Selection(plan, {name: one.counts_as or name for name, one in sources.items()})

    async def work():
        keys = {name: Hidden(key) for name, one in sources.items() if one.key_env}
        pauses = dict.fromkeys(sources, manners.pause_s)
        async with PoliteClient(manners, store, folder / "turns", keys, pauses) as client:
            feeds = [feed_of(name, one, sources, client, listed) for name, one in sources.items()]
            await collect(feeds, selection, no_progress)
            return client.num_sent

    try:
        return selection, asyncio.run(work())
    finally:
        store.close()


def paced(seconds):
    return replace(QUICK, pause_s=seconds)
