"""Words, numbers and signs of a text with their offsets, in one pass."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from stillhouse.evals.scripture.words import fold, words

# One alternative a character class, none nested in another: linear in the text's length.
_TOKEN = re.compile(r"(?<=[1-3])(?:[sS][tT]|[nN][dD]|[rR][dD])(?![a-z])|[^\W\d_]+|\d+|[^\w\s]|_")

LARGEST = 176
"""No chapter and no verse has a larger number (Psalm 119)."""

GRAMMAR_WORDS = words("grammar")
"""Words that may follow a reference; another word in small letters is what a number counts."""

_fold = lru_cache(maxsize=50_000)(fold)


@dataclass(frozen=True, slots=True)
class Token:
    """One word, number or sign.

    Attributes:
        text: as written.
        start: offset of its first character.
        end: offset behind its last.
    """

    text: str
    start: int
    end: int

    @property
    def key(self) -> str:
        """Without case and accents."""
        return _fold(self.text)


class Tokens:
    """The tokens of a text, asked by place; a place outside of it is no token.

    Args:
        text: of any length.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._all = [Token(m[0], m.start(), m.end()) for m in _TOKEN.finditer(text)]

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, place: int) -> Token:
        return self._all[place]

    def sign(self, place: int) -> str:
        """The text of a token; empty outside."""
        return self._all[place].text if 0 <= place < len(self._all) else ""

    def key(self, place: int) -> str:
        """The text of a token without case and accents; empty outside, and for a sign."""
        return self._all[place].key if 0 <= place < len(self._all) else ""

    def is_word(self, place: int) -> bool:
        """Whether it consists of letters."""
        return self.sign(place)[:1].isalpha()

    def number(self, place: int) -> int | None:
        """The number that stands there in digits."""
        text = self.sign(place)
        return int(text) if text.isdecimal() and len(text) <= 6 else None

    def is_attached(self, place: int) -> bool:
        """Whether nothing lies between it and the token before it."""
        return 0 < place < len(self._all) and self._all[place - 1].end == self._all[place].start

    def is_one_of(self, place: int, signs: str) -> bool:
        """Whether one of some signs stands there."""
        return self.sign(place) in tuple(signs)

    def skip(self, place: int, signs: str) -> int:
        """The place after one of some signs, or the place itself."""
        return place + 1 if self.is_one_of(place, signs) else place

    def skip_words(self, place: int, words: frozenset[str]) -> int:
        """The place after one of some words with its full stop, or the place itself."""
        return self.skip(place + 1, ".") if self.key(place) in words else place

    def counts_things(self, place: int) -> bool:
        """Whether a word stands there that the number before it counts, as in "3 items"."""
        text = self.sign(place)
        return text[:1].islower() and self.key(place) not in GRAMMAR_WORDS

    def joined(self, places: Sequence[int]) -> str:
        """Several tokens as one name."""
        return "".join(self._all[place].text for place in places)
