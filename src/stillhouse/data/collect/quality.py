"""How good a song's record is: are there lyrics, and can its description be true?

The score is a share of points. Lyrics that are none, or a title without letters, cost so much that
no other point makes up for it at the usual 0.9.
"""

from __future__ import annotations

import re
from collections import Counter

from stillhouse.data.collect.songs import Song
from stillhouse.data.words import words_of
from stillhouse.recipes.collection_plans import GENRES

_FEWEST_WORDS = 20
"""assumption: the shortest hymns and punk songs have more."""
_MOST_LETTERS = 100_000
"""assumption: an oratorio has fewer; what is longer may have been cut on its way, too."""
_FEWEST_DIFFERENT = 0.05
_SHORTEST_S = 20.0
"""assumption: less is a jingle, or not seconds."""
_MOST_WORDS_A_SECOND = 8.0
"""assumption: the fastest rap has six."""

_NO_LYRICS = re.compile(
    r"^\W*(instrumental|lyrics (for this song )?(have yet to be released|not (found|available))"
    r"|no lyrics|we do not have the lyrics|this song is (an )?instrumental|coming soon)\b",
    re.I,
)
_MARKUP = re.compile(r"</?(div|span|p|br|html|script|a)\b|&(amp|lt|gt|quot|nbsp);|https?://", re.I)
_LETTER = re.compile(r"[^\W_]")

_POINTS: dict[str, float] = {
    "no_lyrics": 0.6,
    "few_words": 0.3,
    "too_long": 0.3,
    "one_word_repeated": 0.3,
    "markup": 0.2,
    "replacement_signs": 0.2,
    "odd_title": 0.2,
    "odd_artist": 0.2,
    "odd_duration": 0.15,
    "too_many_words_for_its_length": 0.15,
    "title_is_lyrics": 0.15,
    "unknown_genre": 0.05,
}
"""What each fault costs of 1. assumption: any fault of text or name is over a tenth, so that it
alone keeps a song out at 0.9; a genre outside the taxonomy does not."""


def score_of(song: Song) -> tuple[float, tuple[str, ...]]:
    """The quality of a song, in [0, 1], and its faults.

    Args:
        song: with whatever lyrics it has.

    Returns:
        1.0 and nothing for a record without a fault.
    """
    faults = (*_of_lyrics(song), *_of_description(song))
    return round(max(0.0, 1.0 - sum(_POINTS[fault] for fault in faults)), 4), faults


def _of_lyrics(song: Song) -> list[str]:
    text = song.lyrics
    words = words_of(text)
    if not words or _NO_LYRICS.match(text):
        return ["no_lyrics"]
    commonest = Counter(words).most_common(1)[0][1]
    too_fast = song.duration_s > 0 and len(words) / song.duration_s > _MOST_WORDS_A_SECOND
    claims = {
        "too_long": len(text) > _MOST_LETTERS,
        "few_words": len(words) < _FEWEST_WORDS,
        "one_word_repeated": len(words) >= _FEWEST_WORDS
        and (commonest / len(words) > 1 - _FEWEST_DIFFERENT),
        "markup": bool(_MARKUP.search(text)),
        "replacement_signs": text.count("\ufffd") > len(text) / 200,
        "too_many_words_for_its_length": too_fast,
    }
    return [fault for fault, holds in claims.items() if holds]


def _of_description(song: Song) -> list[str]:
    claims = {
        "odd_title": not _LETTER.search(song.title) or "\n" in song.title,
        "odd_artist": not _LETTER.search(song.artist) or "\n" in song.artist,
        "odd_duration": song.has_odd_duration or 0 < song.duration_s < _SHORTEST_S,
        "title_is_lyrics": len(song.title) > 200,
        "unknown_genre": bool(song.genre) and song.genre not in GENRES,
    }
    return [fault for fault, holds in claims.items() if holds]
