"""The `collect.source.collection` section: songs from several providers, politely, up to a plan."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from stillhouse.recipes.section import Count, Section

SongKind = Literal["lrclib", "genius", "musixmatch", "json_api", "file"]

HOMES: dict[str, str] = {
    "lrclib": "https://lrclib.net",
    "genius": "https://api.genius.com",
    "musixmatch": "https://api.musixmatch.com",
}
"""Where a provider is asked when `base_url` does not say otherwise."""

TERMS: dict[str, str] = {
    "lrclib": "lrclib-terms",
    "genius": "genius-terms",
    "musixmatch": "musixmatch-terms",
}
"""What holds for the texts of a provider, as `licences.yaml` knows it."""

NEEDS_KEY = ("genius", "musixmatch")
_GIVES_LYRICS = ("lrclib", "musixmatch")

_HOW_IT_IS_ASKED = ("key_env", "seconds_between", "file", "queries", "queries_file")

_CONTACT = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|https?://\S+\.\S+")
_PLACES = {"words", "artist", "title", "genre", "label", "page", "offset", "cursor", "size", "key"}

SecondsBetween = Annotated[float, Field(ge=1.0, le=3600.0)]


def _require_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_whole = is_whole and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ValueError(f"{url!r} is no http or https address")
    if "@" in parts.netloc:
        raise ValueError("an address may hold no name or password: put a key under key_env")


class Query(Section):
    """One thing that a source is asked for.

    Attributes:
        words: anywhere in the song.
        artist: whose songs.
        title: of the song.
        genre: of what is found, where the source does not say.
        label: of what is found, such as `christian`, where the source does not say.
    """

    words: str = ""
    artist: str = ""
    title: str = ""
    genre: str = ""
    label: str = ""

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not (self.words or self.artist or self.title):
            raise ValueError("give at least one of words, artist, title")
        return self


class JsonApi(Section):
    """How an API that answers in JSON is asked, and where its records stand.

    Attributes:
        url: with places in braces: `{words}`, `{artist}`, `{title}`, `{genre}`, `{label}` of a
            query, and `{page}`, `{offset}`, `{cursor}`, `{size}`.
        records: dotted path to the list of records; empty where the reply is the list.
        fields: our name to a dotted path in a record; `title`, `artist` and `lyrics` at least.
        paging: how the next page is asked for.
        first_page: number of the first one.
        page_size: records of a full page; a shorter one is the last.
        next_cursor: dotted path to the next page's cursor; nothing there ends the paging.
        key_header: header that carries the key of `key_env`, as in `Authorization: Bearer {key}`.
        key_parameter: parameter of the address that carries it.
    """

    url: str
    records: str = ""
    fields: dict[str, str]
    paging: Literal["none", "page", "offset", "cursor"] = "none"
    first_page: int = Field(default=1, ge=0)
    page_size: Count = 20
    next_cursor: str = ""
    key_header: str = ""
    key_parameter: str = ""

    @field_validator("url")
    @classmethod
    def _url_is_whole(cls, url: str) -> str:
        _require_address(url)
        unknown = set(re.findall(r"{(.*?)}", url)) - (_PLACES - {"key"})
        if unknown:
            raise ValueError(f"unknown places {sorted(unknown)}; known are {sorted(_PLACES)}")
        if "{" in urlsplit(url).netloc:
            raise ValueError("a place may not stand in the host")
        return url

    @model_validator(mode="after")
    def _paging_has_its_place(self) -> Self:
        if self.paging != "none" and f"{{{self.paging}}}" not in self.url:
            raise ValueError(f"paging: {self.paging} needs {{{self.paging}}} in the url")
        if self.paging == "cursor" and not self.next_cursor:
            raise ValueError("paging: cursor needs next_cursor")
        if missing := {"title", "artist", "lyrics"} - set(self.fields):
            raise ValueError(f"fields lacks {', '.join(sorted(missing))}")
        return self


class SongList(Section):
    """Songs in a file: a curated list, or a data set that was fetched already.

    Attributes:
        path: of the file; a relative one starts at the recipe's folder.
        fields: our name to a dotted path in the record; empty takes the record's own names.
        records: dotted path to the list of records inside a JSON file.
        encoding: of a text file.
    """

    path: str
    fields: dict[str, str] = Field(default_factory=dict)
    records: str | None = None
    encoding: str = "utf-8"


class SongSource(Section):
    """One source of a collection.

    Attributes:
        kind: who answers. `genius` tells of songs but has no lyrics: name where they come from
            under `lyrics_from`.
        counts_as: which quota of the plan its songs fill; its own name when empty.
        licence: under which its texts may be used, where a record does not tell its own; when
            empty, the provider's terms.
        genre: of songs that do not tell theirs.
        label: likewise.
        queries: what it is asked for, in turn.
        queries_file: more of them, a row each, with the columns `words`, `artist`, `title`,
            `genre` and `label`.
        pages: of one query, at most.
        lyrics_from: another source, of kind `lrclib` or `musixmatch`, that is asked for the lyrics.
        partial_lyrics: take lyrics of which the provider gives a part.
        base_url: where a provider is asked, if not at its own address.
        key_env: the environment variable that holds the key; it may stand in a `.env` file beside
            the recipe.
        seconds_between: from one reply to the next request; at least one second. A longer delay
            that the server asks for is kept.
        api: of kind `json_api`.
        file: of kind `file`.
    """

    kind: SongKind
    counts_as: str = ""
    licence: str = ""
    genre: str = ""
    label: str = ""
    queries: tuple[Query, ...] = ()
    queries_file: str = ""
    pages: Count = 1000
    lyrics_from: str = ""
    partial_lyrics: bool = False
    base_url: str = ""
    key_env: str = ""
    seconds_between: SecondsBetween = 1.0
    api: JsonApi | None = None
    file: SongList | None = None

    @field_validator("base_url")
    @classmethod
    def _base_url_is_whole(cls, url: str) -> str:
        if url:
            _require_address(url)
        return url

    @model_validator(mode="after")
    def _kind_has_its_parts(self) -> Self:
        for kind, part in (("json_api", "api"), ("file", "file")):
            if (self.kind == kind) != (getattr(self, part) is not None):
                raise ValueError(f"`{part}` belongs to kind: {kind}, and that kind needs it")
        if self.kind == "file" and (self.queries or self.queries_file):
            raise ValueError("a file is read whole: remove queries")
        if self.kind not in ("file", "json_api") and not (self.queries or self.queries_file):
            raise ValueError("give queries, or queries_file: what shall it be asked for?")
        if self.kind in NEEDS_KEY and not self.key_env:
            raise ValueError(f"{self.kind} needs key_env: the variable that holds the key")
        if self.kind == "genius" and not self.lyrics_from:
            raise ValueError("genius has no lyrics: name a source under lyrics_from")
        return self

    @model_validator(mode="after")
    def _key_is_used(self) -> Self:
        if self.api and bool(self.key_env) != bool(self.api.key_header or self.api.key_parameter):
            raise ValueError("key_env and api.key_header or api.key_parameter go together")
        return self

    @property
    def terms(self) -> str:
        """The licence of texts that do not tell theirs."""
        return self.licence or TERMS.get(self.kind, "unknown")

    @property
    def home(self) -> str:
        """The address it is asked at; empty for a file."""
        return self.base_url or (self.api.url if self.api else HOMES.get(self.kind, ""))

    @property
    def host(self) -> str:
        """The host of it; empty for a file."""
        return urlsplit(self.home).hostname or ""


class Collection(Section):
    """Songs from several sources until a plan is filled, each song once.

    Every request names this project and a contact, obeys the host's robots.txt, and waits at least
    a second after the last reply of that host, whichever process of the runs folder got it. There
    is no way to hide who asks.

    Attributes:
        contact: an e-mail address or a page, told to every server.
        plan: `smoke`, `option_a`, `option_b`, `full`, or the path of a YAML file of your own.
        sources: by a name of yours; earlier ones are preferred where two have the same song.
    """

    contact: str
    plan: str = "smoke"
    sources: dict[str, SongSource] = Field(min_length=1)

    @field_validator("contact")
    @classmethod
    def _contact_can_be_reached(cls, contact: str) -> str:
        if not _CONTACT.fullmatch(contact):
            raise ValueError(
                f"{contact!r} is neither an e-mail address nor a web page; whoever runs a server "
                "must be able to reach you"
            )
        return contact

    @model_validator(mode="after")
    def _lyrics_come_from_somewhere(self) -> Self:
        for name, source in self.sources.items():
            giver = self.sources.get(source.lyrics_from) if source.lyrics_from else None
            if source.lyrics_from and (giver is None or giver.kind not in _GIVES_LYRICS):
                able = [n for n, one in self.sources.items() if one.kind in _GIVES_LYRICS]
                raise ValueError(
                    f"{name}.lyrics_from is {source.lyrics_from!r}; sources that give lyrics: "
                    f"{', '.join(able) or 'none, add one of kind lrclib or musixmatch'}"
                )
        return self

    def identity(self) -> dict[str, Any]:
        """What shapes the songs, as JSON values.

        Who asks, with what key and how slowly, changes no song; files count by their content.
        """
        kept = {name: one.model_dump(mode="json") for name, one in self.sources.items()}
        return {
            "sources": {
                name: {key: value for key, value in one.items() if key not in _HOW_IT_IS_ASKED}
                for name, one in kept.items()
            }
        }

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host that is asked."""
        return tuple(dict.fromkeys(one.host for one in self.sources.values() if one.host))
