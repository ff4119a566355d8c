"""Songs as callers hand them over, and the questions that a student is asked about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Example, Message, Row
from stillhouse.data.templates import parse_template
from stillhouse.export.prompt_file import PromptFile
from stillhouse.tasks.songs.song_analysis import AskedSong
from stillhouse.tokens.fit import Misfit, fit_to_context
from stillhouse.tokens.reader import Reader
from stillhouse.tokens.template import Template
from stillhouse.tokens.tokenizer import TextTokenizer

SongLike = Mapping[str, Any] | Iterable[str | None]
"""A mapping with title, artist and lyrics, or the three in this order."""

_NAMES = ("title", "artist", "lyrics")
_UNKNOWN = "unknown"
"""Stands in a place of the prompt, such as a genre, of which a caller says nothing."""
_CHARS_PER_TOKEN = 40
"""assumption: no token of a tokenizer stands for more letters in a row of lyrics."""


def asked_song(song: SongLike, where: str = "the song") -> AskedSong:
    """A song as it is asked about.

    Args:
        song: a mapping with `title`, `artist`, `lyrics` and whatever else the prompt has places
            for, or the three in this order.
        where: which song it is, for messages.

    Returns:
        Its texts; empty lyrics are those of an instrumental.

    Raises:
        TypeError: a text is none, such as None.
        InputError: one is missing.
    """
    if isinstance(song, str) or not isinstance(song, Mapping | Iterable):
        raise TypeError(f"{where} is {type(song).__name__}, not a mapping with {', '.join(_NAMES)}")
    given = song if isinstance(song, Mapping) else zip(_NAMES, song, strict=False)
    fields: dict[str, Any] = dict(given)
    for name in _NAMES:
        if name not in fields:
            raise InputError(
                f"{where} has no {name!r}", "an instrumental has lyrics too: they are empty"
            )
        if not isinstance(fields[name], str):
            kind = type(fields[name]).__name__
            raise TypeError(f"{where}: {name} is {kind}, not text; an instrumental has empty text")
    title, artist, lyrics = (fields[name] for name in _NAMES)
    return AskedSong(title, artist, lyrics, fields)


@dataclass(frozen=True, slots=True)
class Question:
    """What a student is asked about one song.

    Attributes:
        example: the prompt.
        num_cut: characters of the lyrics that it lacks.
    """

    example: Example
    num_cut: int


class Questions:
    """Asks as the student was trained.

    Args:
        prompt: how that was.
        template: how conversations are written for it.
        tokenizer: of the student.
    """

    def __init__(self, prompt: PromptFile, template: Template, tokenizer: TextTokenizer) -> None:
        self._prompt = prompt
        self._system = parse_template(prompt.system, "prepare.system") if prompt.system else None
        self._user = parse_template(prompt.user, "prepare.user")
        self._template = template
        self._tokenizer = tokenizer

    def ask(self, song: AskedSong, number: int) -> Question:
        """The question about a song.

        Args:
            song: of any length.
            number: its place among the songs of a batch.

        Returns:
            A prompt that leaves room for the answer, the end of the lyrics cut where it must.

        Raises:
            InputError: the prompt has no room even without the lyrics.
        """
        lyrics, num_cut = self._shortened(song.lyrics)
        places = [*self._user.paths, *(self._system.paths if self._system else ())]
        known = {name.split(".", 1)[0]: _UNKNOWN for name in places}
        row = Row(
            f"song-{number}", known | dict(song.fields) | {"lyrics": lyrics}, f"song {number}"
        )
        turns = [Message("user", self._user.fill(row))]
        if self._system:
            turns.insert(0, Message("system", self._system.fill(row)))
        cut = self._prompt.cut_field
        fitted = fit_to_context(
            turns,
            [Reader("student", self._tokenizer, self._template, self._prompt.max_tokens)],
            room_for_answer=self._prompt.room_for_answer,
            cuttable=self._user.place_in(row, cut) if cut else None,
        )
        if isinstance(fitted, Misfit):
            raise InputError(
                f"song {number}: its prompt leaves no room for an answer even without the lyrics",
                "shorten title and artist",
            )
        example = Example(row.row_id, "holdout", fitted.messages, None)
        return Question(example, num_cut + fitted.num_cut_chars)

    def _shortened(self, lyrics: str) -> tuple[str, int]:
        """What may fit at most: nobody reads a book to find out that it is too long."""
        most = _CHARS_PER_TOKEN * self._prompt.max_tokens
        return lyrics[:most], max(0, len(lyrics) - most)
