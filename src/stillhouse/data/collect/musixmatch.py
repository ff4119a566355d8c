"""Musixmatch: finds songs by `track.search`, and gives their lyrics by `track.lyrics.get`.

What a reply means stands in `message.header.status_code`, whatever HTTP says. A plan without
licence gives three tenths of a text and says so in a notice below it. Documented at
https://docs.musixmatch.com/lyrics-api.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from stillhouse.data.collect.answers import Ask, Miss, Page, read_json
from stillhouse.data.collect.songs import (
    MOST_LYRICS,
    Song,
    duration_of,
    genre_of,
    is_true,
    text_of,
)
from stillhouse.recipes.collection import HOMES, Query
from stillhouse.store.replies import Reply

PAGE_SIZE = 100
"""Records of a page at most."""

_NOTICE = re.compile(r"\n*\*{3,}[^\n]{0,40}NOT for Commercial use.*", re.I | re.S)
_CUT = re.compile(r"\n*\.\.\.\s*$")
_KEY = "apikey"

_BY_STATUS: dict[int, Miss] = {
    401: Miss("blocked", "key_refused"),
    402: Miss("blocked", "quota_used_up"),
    403: Miss("blocked", "forbidden"),
    404: Miss("not_found", "not_found"),
    503: Miss("blocked", "busy"),
}


@dataclass(frozen=True, slots=True)
class Musixmatch:
    """Finds songs, and gives the lyrics of each.

    Attributes:
        source: the recipe's name of it.
        base_url: of the server.
    """

    source: str
    base_url: str = HOMES["musixmatch"]

    def ask(self, query: Query, at: str) -> Ask:
        """A page of a search among songs with lyrics."""
        named = {"q": query.words, "q_artist": query.artist, "q_track": query.title}
        named = {name: text for name, text in named.items() if text}
        more = {"f_has_lyrics": "1", "page_size": str(PAGE_SIZE), "page": at or "1"}
        return self._url("track.search", named | more)

    def read(self, reply: Reply, query: Query, at: str) -> Page | Miss:  # noqa: ARG002
        """The songs of a page."""
        body = _body(reply)
        if isinstance(body, Miss):
            return body
        tracks = body.get("track_list")
        if not isinstance(tracks, list):
            return Miss("error", "wrong_shape")
        songs = [self._song(one) for one in tracks]
        found = tuple(one for one in songs if one is not None)
        is_last = len(tracks) < PAGE_SIZE
        next_at = "" if is_last else str(int(at or "1") + 1)
        return Page(found, next_at, len(songs) - len(found))

    def ask_lyrics(self, song: Song) -> Ask:
        """The lyrics of a track, or of a title that another source found."""
        if song.lyrics_key:
            return self._url("track.lyrics.get", {"track_id": song.lyrics_key})
        return self._url("matcher.lyrics.get", {"q_track": song.title, "q_artist": song.artist})

    def read_lyrics(self, reply: Reply, song: Song) -> Song | Miss:
        """The song with its lyrics, without the notice below them."""
        body = _body(reply)
        if isinstance(body, Miss):
            return body
        told = body.get("lyrics")
        if not isinstance(told, dict):
            return Miss("error", "wrong_shape")
        if is_true(told.get("instrumental")):
            return Miss("no_lyrics", "instrumental")
        text = text_of(told.get("lyrics_body"), MOST_LYRICS)
        whole = _NOTICE.sub("", text)
        is_partial = whole != text
        lyrics = _CUT.sub("", whole).strip() if is_partial else whole.strip()
        is_restricted = is_true(told.get("restricted"))
        if not lyrics and not is_restricted:
            return Miss("not_found", "empty_lyrics")
        return replace(
            song,
            lyrics=lyrics,
            is_partial=is_partial,
            is_restricted=is_restricted,
            language=song.language or text_of(told.get("lyrics_language")),
        )

    def _song(self, entry: Any) -> Song | None:
        track = entry.get("track") if isinstance(entry, dict) else None
        if not isinstance(track, dict):
            return None
        title, artist = text_of(track.get("track_name")), text_of(track.get("artist_name"))
        track_id = text_of(track.get("track_id"))
        if not title or not artist or not track_id:
            return None
        duration_s, is_odd = duration_of(track.get("track_length"))
        return Song(
            source=self.source,
            source_id=track_id,
            lyrics_key=track_id,
            title=title,
            artist=artist,
            album=text_of(track.get("album_name")),
            duration_s=duration_s,
            has_odd_duration=is_odd,
            is_instrumental=is_true(track.get("instrumental")),
            is_restricted=is_true(track.get("restricted")),
            genre=_genre(track.get("primary_genres")),
            url=text_of(track.get("track_share_url")),
        )

    def _url(self, method: str, named: dict[str, str]) -> Ask:
        query = urlencode(named, errors="replace")
        return Ask(f"{self.base_url.rstrip('/')}/ws/1.1/{method}?{query}", parameter=_KEY)


def _genre(told: Any) -> str:
    genres = told.get("music_genre_list") if isinstance(told, dict) else None
    for one in genres if isinstance(genres, list) else ():
        genre = one.get("music_genre") if isinstance(one, dict) else None
        name = text_of(genre.get("music_genre_name")) if isinstance(genre, dict) else ""
        if name:
            return genre_of(name)
    return ""


def _body(reply: Reply) -> dict[str, Any] | Miss:
    value = read_json(reply)
    if isinstance(value, Miss):
        return value
    message = value.get("message") if isinstance(value, dict) else None
    header = message.get("header") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(header, dict):
        return Miss("error", "wrong_shape")
    status = header.get("status_code")
    if status != 200:
        unknown = Miss("error", "status_in_body")
        return _BY_STATUS.get(status, unknown) if isinstance(status, int) else unknown
    body = message.get("body")
    return body if isinstance(body, dict) else Miss("error", "wrong_shape")
