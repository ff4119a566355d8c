"""Misspellings as people make them: a letter left out, doubled, swapped or struck beside its key.

Which word is misspelt and how is drawn from the seed and the row alone, so the same row gets the
same errors wherever and whenever it is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

WORDS_PER_TYPO = 4
"""source: the founding description of the accounting system: one typo in four words."""

_SHORTEST = 4
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_KEYBOARD = {
    key: "".join(
        other
        for number, row in enumerate(_ROWS)
        for place, other in enumerate(row)
        if other != key
        and abs(number - own_row) <= 1
        and abs((place + number / 2) - (own_place + own_row / 2)) <= 1.0
    )
    for own_row, keys in enumerate(_ROWS)
    for own_place, key in enumerate(keys)
}
_VOWELS = {"a": "eoi", "e": "aio", "i": "aey", "o": "eai", "u": "eoi", "y": "ie"}
_SOUNDS = {"s": "c", "c": "sk", "k": "c", "m": "n", "n": "m", "t": "d", "d": "t", "z": "s",
           "f": "v", "v": "f", "b": "p", "p": "b", "g": "j", "j": "g"}  # fmt: skip

Edit = Callable[[str, Random], str | None]


def _omit(word: str, rng: Random) -> str | None:
    place = rng.randrange(1, len(word))
    return word[:place] + word[place + 1 :]


def _undouble(word: str, rng: Random) -> str | None:
    pairs = [place for place in range(1, len(word)) if word[place] == word[place - 1]]
    return None if not pairs else _without(word, rng.choice(pairs))


def _without(word: str, place: int) -> str:
    return word[:place] + word[place + 1 :]


def _double(word: str, rng: Random) -> str | None:
    place = rng.randrange(1, len(word))
    return word[: place + 1] + word[place] + word[place + 1 :]


def _swap(word: str, rng: Random) -> str | None:
    places = [place for place in range(1, len(word) - 1) if word[place] != word[place + 1]]
    if not places:
        return None
    place = rng.choice(places)
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _replace_by(table: dict[str, str]) -> Edit:
    def edit(word: str, rng: Random) -> str | None:
        places = [place for place in range(1, len(word)) if word[place].lower() in table]
        if not places:
            return None
        place = rng.choice(places)
        return (
            word[:place]
            + _like(word[place], rng.choice(table[word[place].lower()]))
            + word[place + 1 :]
        )

    return edit


def _strike_beside(word: str, rng: Random) -> str | None:
    """A key beside the right one struck with it."""
    places = [place for place in range(1, len(word)) if word[place].lower() in _KEYBOARD]
    if not places:
        return None
    place = rng.choice(places)
    extra = rng.choice(_KEYBOARD[word[place].lower()])
    return word[: place + 1] + _like(word[place], extra) + word[place + 1 :]


def _like(letter: str, other: str) -> str:
    return other.upper() if letter.isupper() else other


_EDITS: tuple[tuple[float, Edit], ...] = (
    (0.27, _omit),
    (0.19, _undouble),
    (0.07, _double),
    (0.14, _swap),
    (0.16, _replace_by(_VOWELS)),
    (0.03, _replace_by(_SOUNDS)),
    (0.02, _replace_by(_KEYBOARD)),
    (0.12, _strike_beside),
)
"""measured: shares of the kinds among 4,310 misspellings of Wikipedia's writers, those of several
letters left out and neighbouring keys split off from other substitutions."""


def misspell(text: str, seed: str, words_per_typo: int = WORDS_PER_TYPO) -> str:
    """The text with one misspelt word in so many.

    Args:
        text: any; numbers, signs, spaces and words of fewer than four letters stay as they are,
            and so does the first letter of a word.
        seed: decides everything; the row's name belongs into it.
        words_per_typo: at least 1; the count of misspelt words is the text's words over it,
            rounded to the nearest, as far as there are words long enough.

    Returns:
        The same text when it is too short for one.
    """
    rng = Random(seed)
    words = list(_WORD.finditer(text))
    wanted = (len(words) + words_per_typo // 2) // words_per_typo
    places = [place for place, word in enumerate(words) if len(word[0]) >= _SHORTEST]
    chosen = set(rng.sample(places, min(wanted, len(places))))
    pieces, start = [], 0
    for place, word in enumerate(words):
        pieces.append(text[start : word.start()])
        pieces.append(_misspelt(word[0], rng) if place in chosen else word[0])
        start = word.end()
    return "".join([*pieces, text[start:]])


def _misspelt(word: str, rng: Random) -> str:
    weights = [weight for weight, _ in _EDITS]
    while True:
        ((_, edit),) = rng.choices(_EDITS, weights)
        made = edit(word, rng)
        if made is not None and made != word:
            return made
