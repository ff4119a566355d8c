"""Genius: finds songs by its API, which has no lyrics; its pages are not read.

`/search` answers `response.hits[].result` and needs a token. Documented at
https://docs.genius.com.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from stillhouse.data.collect.answers import Ask, Miss, Page, read_json
from stillhouse.data.collect.songs import Song, is_true, text_of
from stillhouse.recipes.collection import HOMES, Query
from stillhouse.store.replies import Reply

PAGE_SIZE = 20
"""Hits that a search gives at most."""

_TOKEN = "Authorization: Bearer {key}"


@dataclass(frozen=True, slots=True)
class Genius:
    """Finds songs without their lyrics.

    Attributes:
        source: the recipe's name of it.
        base_url: of the server.
    """

    source: str
    base_url: str = HOMES["genius"]

    def ask(self, query: Query, at: str) -> Ask:
        """A page of a search."""
        words = " ".join(filter(None, (query.words, query.artist, query.title)))
        named = {"q": words, "per_page": PAGE_SIZE, "page": at or "1"}
        url = f"{self.base_url.rstrip('/')}/search?{urlencode(named, errors='replace')}"
        return Ask(url, header=_TOKEN)

    def read(self, reply: Reply, query: Query, at: str) -> Page | Miss:  # noqa: ARG002
        """The songs of a page."""
        value = read_json(reply)
        if isinstance(value, Miss):
            return value
        hits = _at(value, "response", "hits")
        if not isinstance(hits, list):
            return _miss(value, reply.status)
        songs = [self._song(one) for one in hits if _at(one, "type") in ("song", None)]
        found = tuple(one for one in songs if one is not None)
        page = int(at or "1")
        is_last = len(hits) < PAGE_SIZE
        return Page(found, "" if is_last else str(page + 1), len(hits) - len(found))

    def _song(self, hit: Any) -> Song | None:
        result = _at(hit, "result")
        title = text_of(_at(result, "title"))
        artist = text_of(_at(result, "primary_artist", "name"))
        if not title or not artist:
            return None
        return Song(
            source=self.source,
            source_id=text_of(_at(result, "id")),
            title=title,
            artist=artist,
            language=text_of(_at(result, "language")),
            is_instrumental=is_true(_at(result, "instrumental")),
            url=text_of(_at(result, "url")),
        )


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _miss(value: Any, status: int) -> Miss:
    if isinstance(_at(value, "error"), str) or _at(value, "meta", "status") == 401:
        return Miss("blocked", "key_refused")
    if status == 404 or _at(value, "meta", "status") == 404:
        return Miss("not_found", "not_found")
    return Miss("error", "wrong_shape")
