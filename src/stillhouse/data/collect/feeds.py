"""What one source brings, a step at a time; a step makes one request at most."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from stillhouse.data.collect.answers import Ask, Finder, LyricsGiver, Miss, Outcome, Page
from stillhouse.data.collect.selection import Selection, with_defaults
from stillhouse.data.collect.songs import Song
from stillhouse.recipes.collection import Query, SongSource
from stillhouse.store.replies import Reply

_LIST_AT_ONCE = 64
_STOPS = frozenset({"key_refused", "quota_used_up", "no_connection", "tls", "busy"})
"""After one of these the next request would come to the same."""


class Asker(Protocol):
    """Whoever sends requests."""

    async def get(self, source: str, ask: Ask, is_answer: Callable[[Reply], bool]) -> Reply | Miss:
        """The reply to a request, kept where it is an answer; or why there is none."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step brought.

    Attributes:
        songs: to be decided about.
        refused: songs that were not got whole, each with the reason.
        num_odd: records without a title or an artist.
        outcome: of the request; empty where none was made.
        stopped: why the source is asked no more; empty where it goes on.
        rest_s: after which it may be asked again.
    """

    songs: Sequence[Song] = ()
    refused: Sequence[tuple[Song, str]] = ()
    num_odd: int = 0
    outcome: Outcome | str = ""
    stopped: str = ""
    rest_s: float = 0.0


class Feed(Protocol):
    """A source, as a stream of steps."""

    @property
    def name(self) -> str:
        """The recipe's name of it."""

    def steps(self, selection: Selection) -> AsyncIterator[Step]:
        """Steps, one request each at most, until the source has no more or is stopped.

        Args:
            selection: of what is kept, to ask for nothing that has no room.

        Returns:
            An iterator of steps.
        """


@dataclass(frozen=True, slots=True)
class ListFeed:
    """Songs of a file.

    Attributes:
        name: the recipe's name of it.
        source: its section.
        songs: read from the file, a few at a time.
    """

    name: str
    source: SongSource
    songs: Callable[[], Iterable[Song | None]]

    async def steps(self, selection: Selection) -> AsyncIterator[Step]:
        """The songs, in the order of the file."""
        waiting: list[Song] = []
        num_odd = 0
        own = self.source
        for song in self.songs():
            if song is None:
                num_odd += 1
                continue
            waiting.append(with_defaults(song, own.genre, own.label, own.terms))
            if len(waiting) == _LIST_AT_ONCE:
                yield Step(waiting, num_odd=num_odd)
                waiting, num_odd = [], 0
                if not selection.wants(self.name, "", ""):
                    return
        yield Step(waiting, num_odd=num_odd)


@dataclass(slots=True)
class _Asked:
    """A query, and how far it is asked."""

    query: Query
    at: str = ""
    pages: int = 0
    is_done: bool = False
    seen: set[str] = field(default_factory=set)
    songs: Sequence[Song] = ()


@dataclass(frozen=True, slots=True)
class ProviderFeed:
    """Songs of a provider: a page of each query in turn, and the lyrics of each song.

    Attributes:
        name: the recipe's name of it.
        source: its section.
        queries: all that it is asked for.
        finder: its format.
        giver: the format of whoever gives the lyrics; None where they come with the song.
        giver_name: the recipe's name of that.
        licence: of the lyrics that somebody else gives.
        asker: sends requests.
    """

    name: str
    source: SongSource
    queries: Sequence[Query]
    finder: Finder
    giver: LyricsGiver | None
    giver_name: str
    licence: str
    asker: Asker

    async def steps(self, selection: Selection) -> AsyncIterator[Step]:
        """Steps until every query has no more pages."""
        asked = [_Asked(query) for query in self.queries]
        while any(not one.is_done for one in asked):
            # What the plan cannot do without is asked for before the source's quota is full.
            for one in sorted(asked, key=lambda one: not self._owed(selection, one.query)):
                if not selection.wants(self.name, "", ""):
                    return
                if one.is_done or not self._wants(selection, one.query):
                    one.is_done = True
                    continue
                async for step in self._turn(one, selection):
                    yield step
                    if step.stopped:
                        return

    async def _turn(self, one: _Asked, selection: Selection) -> AsyncIterator[Step]:
        """One page of a query, and the lyrics of its songs."""
        page = await self._page(one)
        if isinstance(page, Step):
            yield page
            return
        async for step in self._songs(page, one.query, selection):
            yield step

    def _owed(self, selection: Selection, query: Query) -> bool:
        return selection.owes(query.genre or self.source.genre, query.label or self.source.label)

    def _wants(self, selection: Selection, query: Query) -> bool:
        return selection.wants(
            self.name, query.genre or self.source.genre, query.label or self.source.label
        )

    async def _page(self, one: _Asked) -> Page | Step:
        """The next page of a query; a step where there is none."""
        read = partial(self.finder.read, query=one.query, at=one.at)
        asked = self.finder.ask(one.query, one.at)
        reply = await self.asker.get(self.name, asked, lambda reply: _says(read(reply)))
        found = reply if isinstance(reply, Miss) else read(reply)
        one.pages += 1
        if isinstance(found, Miss):
            one.is_done = True
            return Step(outcome=found.outcome, stopped=_stopped(found), rest_s=found.rest_s)
        one.seen.add(one.at)
        one.at = found.next_at
        # A source that goes round in a circle, or gives one page for all, is asked no more.
        is_same = bool(found.songs) and found.songs == one.songs
        one.songs = found.songs
        one.is_done = not one.at or one.at in one.seen or is_same or one.pages >= self.source.pages
        assert isinstance(reply, Reply)
        songs = tuple(self._placed(song, reply) for song in found.songs)
        return Page(songs, found.next_at, found.num_odd)

    def _placed(self, song: Song, reply: Reply) -> Song:
        """The song with where it was found."""
        if not song.lyrics:
            return replace(song, url=song.url or reply.url)
        return replace(
            song, url=song.url or reply.url, lyrics_source=self.name, fetched_at=reply.at
        )

    async def _songs(self, page: Page, query: Query, selection: Selection) -> AsyncIterator[Step]:
        own = self.source
        genre, label = query.genre or own.genre, query.label or own.label
        songs = [with_defaults(song, genre, label, own.terms) for song in page.songs]
        songs = [replace(song, is_partial=False) if own.partial_lyrics else song for song in songs]
        whole = [song for song in songs if song.lyrics or not self.giver]
        yield Step(whole, num_odd=page.num_odd, outcome="ok")
        for song in songs:
            if not song.lyrics and self.giver:
                # Decided at once without lyrics where it is not worth a request.
                yield await self._with_lyrics(song) if selection.is_new(song) else Step([song])

    async def _with_lyrics(self, song: Song) -> Step:
        assert self.giver is not None
        read = partial(self.giver.read_lyrics, song=song)
        asked = self.giver.ask_lyrics(song)
        reply = await self.asker.get(self.giver_name, asked, lambda reply: _says(read(reply)))
        found = reply if isinstance(reply, Miss) else read(reply)
        if isinstance(found, Miss):
            return Step(
                refused=[(song, found.outcome)],
                outcome=found.outcome,
                stopped=_stopped(found),
                rest_s=found.rest_s,
            )
        assert isinstance(reply, Reply)
        is_partial = found.is_partial and not self.source.partial_lyrics
        # What a record says of itself it does not say of the texts of somebody else.
        licence = found.licence if self.giver_name == self.name else self.licence
        whole = replace(
            found, is_partial=is_partial, lyrics_source=self.giver_name, licence=licence
        )
        return Step([replace(whole, fetched_at=reply.at)], outcome="ok")


def _says(found: Page | Song | Miss) -> bool:
    """Whether a reply says something; a refusal or half a text inside of it is asked again."""
    return not isinstance(found, Miss) or found.outcome in ("no_lyrics", "not_found")


def _stopped(miss: Miss) -> str:
    return miss.reason if miss.rest_s or miss.reason in (*_STOPS, "robots") else ""
