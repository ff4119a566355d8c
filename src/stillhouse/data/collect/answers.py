"""What a request for songs came to, in no provider's words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from stillhouse.core.hashing import digest_value
from stillhouse.data.collect.songs import Song
from stillhouse.recipes.collection import Query
from stillhouse.store.replies import Reply

Outcome = Literal["ok", "no_lyrics", "not_found", "blocked", "error"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "no_lyrics", "not_found", "blocked", "error")
"""Answered; a song without words; nothing of that name; not let in; failed."""

_FORMAT = 1
"""Raised when kept replies would be read otherwise."""


class Hidden(Protocol):
    """A text that does not show itself."""

    def reveal(self) -> str:
        """The text; only for a request."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, without its key.

    Attributes:
        url: whole, without secrets.
        header: name and form of the header that carries the key, as `Authorization: Bearer {key}`.
        parameter: of the address that carries it.
    """

    url: str
    header: str = ""
    parameter: str = ""

    @property
    def key(self) -> str:
        """Names the request and its reply."""
        return digest_value([_FORMAT, self.url])


@dataclass(frozen=True, slots=True)
class Miss:
    """A request that brought no songs.

    Attributes:
        outcome: which kind.
        reason: one fixed word.
        rest_s: after which the host may be asked again; 0 when it did not say.
    """

    outcome: Outcome
    reason: str
    rest_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Page:
    """Songs of one reply.

    Attributes:
        songs: in the order of the reply; those that cannot be named are left out.
        next_at: what asks for the next page; empty on the last.
        num_odd: records that were no songs.
    """

    songs: tuple[Song, ...]
    next_at: str = ""
    num_odd: int = 0


class Finder(Protocol):
    """A provider that finds songs."""

    def ask(self, query: Query, at: str) -> Ask:
        """The request for a page.

        Args:
            query: what for.
            at: `next_at` of the page before; empty for the first.

        Returns:
            The request.
        """

    def read(self, reply: Reply, query: Query, at: str) -> Page | Miss:
        """The songs of its reply, whatever bytes it is made of; never raises.

        Args:
            reply: to that request.
            query: what for.
            at: as in `ask`.

        Returns:
            The page, or why there is none.
        """


class LyricsGiver(Protocol):
    """A provider that has the lyrics of a song that is known."""

    def ask_lyrics(self, song: Song) -> Ask:
        """The request for its lyrics."""

    def read_lyrics(self, reply: Reply, song: Song) -> Song | Miss:
        """The song with its lyrics, or why there are none; never raises."""


def read_json(reply: Reply) -> Any | Miss:
    """The JSON value of a reply.

    Args:
        reply: whole.

    Returns:
        The value, or a `Miss` for whatever is no JSON.
    """
    found = _value(reply.body)
    is_gone = reply.status == 404 and isinstance(found, Miss)
    return Miss("not_found", "not_found") if is_gone else found


def _value(body: bytes) -> Any | Miss:
    if not body.strip():
        return Miss("error", "empty_body")
    if body.lstrip()[:1] == b"<":
        return Miss("blocked", "block_page")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Miss("error", "wrong_encoding")
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return Miss("error", "no_json")


def _no_number(word: str) -> None:
    """NaN and the infinities, which JSON does not have, say nothing."""
