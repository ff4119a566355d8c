"""LRCLIB: an open database of lyrics that needs no key.

`/api/search` answers up to twenty records at once and has no pages; `/api/get` answers one record,
or 404 with the name `TrackNotFound`. Documented at https://lrclib.net/docs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from stillhouse.data.collect.answers import Ask, Miss, Page, read_json
from stillhouse.data.collect.songs import (
    MOST_LYRICS,
    Song,
    duration_of,
    is_true,
    text_of,
    without_times,
)
from stillhouse.recipes.collection import HOMES, Query
from stillhouse.store.replies import Reply


@dataclass(frozen=True, slots=True)
class Lrclib:
    """Finds songs with their lyrics.

    Attributes:
        source: the recipe's name of it.
        base_url: of the server.
    """

    source: str
    base_url: str = HOMES["lrclib"]

    def ask(self, query: Query, at: str) -> Ask:  # noqa: ARG002 (there is one page)
        """A search; it answers all that it will."""
        named = {"q": query.words, "track_name": query.title, "artist_name": query.artist}
        return self._url("search", {name: text for name, text in named.items() if text})

    def read(self, reply: Reply, query: Query, at: str) -> Page | Miss:  # noqa: ARG002
        """The songs of a search."""
        value = read_json(reply)
        if isinstance(value, Miss):
            return value
        if not isinstance(value, list):
            return _miss(value, reply.status)
        found = [_song(self.source, one) for one in value]
        songs = tuple(one for one in found if one is not None)
        return Page(songs, num_odd=len(found) - len(songs))

    def ask_lyrics(self, song: Song) -> Ask:
        """The record of one title of one artist."""
        named = {"artist_name": song.artist, "track_name": song.title}
        return self._url("get", named)

    def read_lyrics(self, reply: Reply, song: Song) -> Song | Miss:
        """The song with its lyrics."""
        value = read_json(reply)
        if isinstance(value, Miss):
            return value
        found = _song(self.source, value)
        if found is None:
            return _miss(value, reply.status)
        if found.is_instrumental:
            return Miss("no_lyrics", "instrumental")
        if not found.lyrics:
            return Miss("not_found", "empty_lyrics")
        return replace(
            song,
            lyrics=found.lyrics,
            album=song.album or found.album,
            duration_s=song.duration_s or found.duration_s,
            has_odd_duration=song.has_odd_duration or found.has_odd_duration,
        )

    def _url(self, what: str, named: dict[str, str]) -> Ask:
        return Ask(f"{self.base_url.rstrip('/')}/api/{what}?{urlencode(named, errors='replace')}")


def _song(source: str, record: Any) -> Song | None:
    if not isinstance(record, dict):
        return None
    title = text_of(record.get("trackName")) or text_of(record.get("name"))
    artist = text_of(record.get("artistName"))
    if not title or not artist:
        return None
    duration_s, is_odd = duration_of(record.get("duration"))
    plain = text_of(record.get("plainLyrics"), MOST_LYRICS)
    synced = text_of(record.get("syncedLyrics"), MOST_LYRICS)
    return Song(
        source=source,
        source_id=text_of(record.get("id")),
        title=title,
        artist=artist,
        album=text_of(record.get("albumName")),
        duration_s=duration_s,
        has_odd_duration=is_odd,
        lyrics=plain or without_times(synced),
        is_instrumental=is_true(record.get("instrumental")),
    )


def _miss(value: Any, status: int) -> Miss:
    name = value.get("name") if isinstance(value, dict) else ""
    is_not_there = name == "TrackNotFound" or status == 404
    return Miss("not_found", "not_found") if is_not_there else Miss("error", "wrong_shape")
