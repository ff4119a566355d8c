"""A song as a provider tells of it, before anybody has decided whether it is kept."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from stillhouse.data.words import words_of
from stillhouse.recipes.collection_plans import GENRES

MOST_LYRICS = 200_000
"""assumption: letters of the longest lyrics; more is no song."""
_MOST_NAME = 500
_LONGEST_S = 36_000.0

_ASIDE = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_PART = re.compile(r"\b(part|pt|teil|vol|volume|no|nr)\b\.?\s*(\d+|[ivx]+)\b", re.I)
_LINE_END = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_WRITTEN = "\n\t\u200c\u200d"
"""Persian, Hindi and others are spelt with the two joiners, which have no width."""
_FEATURING = re.compile(r"\b(feat|ft|featuring)\b\.?.*", re.I | re.S)
_GENRE_WORDS = {
    **{genre: genre for genre in GENRES},
    "hip hop": "hip-hop",
    "rap": "hip-hop",
    "hip hop/rap": "hip-hop",
    "rnb": "r&b",
    "r&b/soul": "r&b",
    "soul": "r&b",
    "rhythm and blues": "r&b",
    "dance": "electronic",
    "gospel": "christian",
    "christian & gospel": "christian",
    "worship": "christian",
    "ccm": "christian",
    "hymn": "christian",
    "hymns": "christian",
    "heavy metal": "metal",
    "singer/songwriter": "folk",
    "country & folk": "country",
    "techno": "electronic",
    "house": "electronic",
    "edm": "electronic",
    "indie rock": "indie",
    "indie pop": "indie",
    "punk rock": "punk",
    "ska": "reggae",
    "latin": "world",
    "worldwide": "world",
    "alternative rock": "alternative",
    "hard rock": "rock",
    "opera": "classical",
}


@dataclass(frozen=True, slots=True)
class Song:
    """What is known of one song.

    Attributes:
        source: the recipe's name of where it was found.
        source_id: the provider's own name of it; empty when it has none.
        title: as the provider writes it.
        artist: likewise.
        album: likewise; empty when not told.
        duration_s: seconds; 0 when not told or not plausible.
        has_odd_duration: a duration was told that no song has.
        lyrics: plain text; empty when they are still to be asked for, or there are none.
        is_instrumental: the provider says that it has no words.
        is_partial: the provider gives a part of the lyrics.
        is_restricted: the provider may not show the lyrics here.
        genre: of the taxonomy; empty when not told.
        label: such as `christian`; empty when not told.
        language: as told.
        licence: of the texts, as the source or the record says.
        url: where people find it.
        lyrics_key: what its lyrics are asked for with, where that is not its own id.
        confidence: that it is Christian, where whoever made the list looked; -1 where nobody did.
        themes: likewise.
        lyrics_source: the recipe's name of where its lyrics came from.
        fetched_at: when they came, ISO 8601 in UTC; empty for a file.
    """

    source: str
    source_id: str
    title: str
    artist: str
    album: str = ""
    duration_s: float = 0.0
    has_odd_duration: bool = False
    lyrics: str = ""
    is_instrumental: bool = False
    is_partial: bool = False
    is_restricted: bool = False
    genre: str = ""
    label: str = ""
    language: str = ""
    licence: str = ""
    url: str = ""
    lyrics_key: str = ""
    confidence: float = -1.0
    themes: tuple[str, ...] = ()
    lyrics_source: str = ""
    fetched_at: str = ""

    @property
    def kind(self) -> str:
        """Its label; a genre of `christian` says it too, all other songs are secular."""
        return self.label or ("christian" if self.genre == "christian" else "secular")

    @property
    def same_as(self) -> str:
        """Equal for recordings of one song by one artist."""
        return f"{name_key(self.title)}\t{name_key(self.artist)}"


def name_key(name: str) -> str:
    """A title's or artist's words without what stands in brackets, and without guests."""
    bare = _FEATURING.sub(" ", _ASIDE.sub(_aside, name))
    return " ".join(words_of(bare) or words_of(name))


def _aside(found: re.Match[str]) -> str:
    """What is kept of a bracket: the number of a part, which is a song of its own."""
    part = _PART.search(found.group())
    return f" {part.group()} " if part else " "


def text_of(value: Any, most: int = _MOST_NAME) -> str:
    r"""A remote value as text: one that can be stored, without control signs; else empty.

    Args:
        value: anything that JSON can hold.
        most: letters that are kept.

    Returns:
        Line ends as `\\n`, blanks at the ends cut off.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    try:
        text = str(value)
    except ValueError:  # an integer of thousands of digits
        return ""
    text = text[: most * 2].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = _LINE_END.sub("\n", text)
    return "".join(c for c in text if _is_sign(c))[:most].strip()


def _is_sign(letter: str) -> bool:
    """Whether it is one that people write; those of control, and most without a width, are not."""
    if letter.isprintable() or letter in _WRITTEN:
        return True
    return letter.isspace() and unicodedata.category(letter) != "Cc"


def duration_of(value: Any) -> tuple[float, bool]:
    """Seconds as a provider tells them, and whether what it told was none that a song has."""
    if value is None or value == "":
        return 0.0, False
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0, True
    if seconds == 0.0:
        return 0.0, False
    is_plausible = 0.0 < seconds <= _LONGEST_S
    return (seconds, False) if is_plausible else (0.0, True)


def genre_of(told: str) -> str:
    """The genre of the taxonomy that a provider's word means; the word itself where none does."""
    word = " ".join(told.lower().replace("_", " ").split())
    return _GENRE_WORDS.get(word) or _GENRE_WORDS.get(word.replace("-", " "), word)


def is_true(value: Any) -> bool:
    """A provider's yes: true, 1 or "1"."""
    return value is True or value in (1, "1", "true")


_TIMED = re.compile(r"^([ \t]*\[\d{1,3}:\d{1,2}([.:]\d{1,3})?\])+", re.M)
_TAG = re.compile(r"^\s*\[[A-Za-z]{1,20}:[^\]\n]*\]\s*$\n?", re.M)


def without_times(synced: str) -> str:
    """Lyrics that had the time of each line before it."""
    lines = _TIMED.sub("", _TAG.sub("", synced)).splitlines()
    return "\n".join(line.strip() for line in lines).strip()
