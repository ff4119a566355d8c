"""Any API that answers in JSON: how it is asked and read stands in the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from stillhouse.data.collect.answers import Ask, Miss, Page, read_json
from stillhouse.data.collect.songs import MOST_LYRICS, Song, duration_of, genre_of, is_true, text_of
from stillhouse.data.paths import MISSING, find
from stillhouse.recipes.collection import JsonApi, Query
from stillhouse.store.replies import Reply

_MOST_CURSOR = 2000


@dataclass(frozen=True, slots=True)
class JsonSongs:
    """Finds songs with their lyrics.

    Attributes:
        source: the recipe's name of it.
        api: how it is asked and read.
    """

    source: str
    api: JsonApi

    def ask(self, query: Query, at: str) -> Ask:
        """A page of what the query asks for."""
        told = query.model_dump()
        page = at or str(self.api.first_page)
        places = told | {"page": page, "offset": at or "0", "cursor": at}
        places |= {"size": str(self.api.page_size)}
        url = self.api.url
        for name, text in places.items():
            url = url.replace(f"{{{name}}}", quote(text.encode("utf-8", "replace"), safe=""))
        return Ask(url, header=self.api.key_header, parameter=self.api.key_parameter)

    def read(self, reply: Reply, query: Query, at: str) -> Page | Miss:  # noqa: ARG002
        """The songs of a page."""
        value = read_json(reply)
        if isinstance(value, Miss):
            return value
        records = find(value, self.api.records) if self.api.records else value
        if records is MISSING or not isinstance(records, list):
            not_there = reply.status == 404
            return Miss("not_found", "not_found") if not_there else Miss("error", "wrong_shape")
        songs = [song_of(self.source, one, self.api.fields) for one in records]
        found = tuple(one for one in songs if one is not None)
        return Page(found, self._next(value, at, len(records)), len(songs) - len(found))

    def _next(self, value: Any, at: str, num_records: int) -> str:
        paging = self.api.paging
        if paging == "none" or not num_records:
            return ""
        if paging == "cursor":
            told = text_of(find(value, self.api.next_cursor), _MOST_CURSOR)
            return "" if told == at else told
        if num_records < self.api.page_size:
            return ""
        if paging == "page":
            return str(int(at or self.api.first_page) + 1)
        return str(int(at or "0") + num_records)


def song_of(source: str, record: Any, fields: Mapping[str, str]) -> Song | None:
    """The song that a record tells of.

    Args:
        source: the recipe's name of where it stands.
        record: any JSON value.
        fields: our name to a dotted path in the record; without any, the record's own names.

    Returns:
        The song; None for a record without title or artist.
    """

    def at(name: str) -> Any:
        found = find(record, fields.get(name, "" if fields else name))
        return None if found is MISSING else found

    title, artist = text_of(at("title")), text_of(at("artist"))
    if not title or not artist:
        return None
    duration_s, is_odd = duration_of(at("duration_s"))
    themes = at("themes")
    return Song(
        source=source,
        source_id=text_of(at("id")),
        title=title,
        artist=artist,
        album=text_of(at("album")),
        duration_s=duration_s,
        has_odd_duration=is_odd,
        lyrics=_lyrics(at("lyrics")),
        is_instrumental=is_true(at("instrumental")),
        genre=genre_of(text_of(at("genre"))),
        label=text_of(at("label")).lower(),
        language=text_of(at("language")),
        licence=text_of(at("licence")) or text_of(at("license")),
        url=text_of(at("url")),
        confidence=_confidence(at("christian_confidence")),
        themes=tuple(filter(None, map(text_of, themes))) if isinstance(themes, list) else (),
    )


def _lyrics(value: Any) -> str:
    """One text; verses that stand in a list, one below the other."""
    if isinstance(value, list):
        value = "\n\n".join(filter(None, (text_of(one, MOST_LYRICS) for one in value[:1000])))
    return text_of(value, MOST_LYRICS)


def _confidence(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= 1 else -1.0
