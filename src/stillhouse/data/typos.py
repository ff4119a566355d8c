"""Misspellings as people make them: letters left out, added, doubled, swapped or mistaken.

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
KEYBOARD = {
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

_ADDED = "eeeeeeeiiiiirrruuaahhnnccssttddol"
"""measured: the letters that Wikipedia's writers add, each about as often."""

Edit = Callable[[str, Random], str | None]


def _pick(places: list[int], rng: Random) -> int:
    """One of the places, those in the middle more often: so do people err."""
    return places[int((rng.random() + rng.random()) / 2 * len(places))]


def _inner(word: str) -> list[int]:
    """All places but the first."""
    return [*range(1, len(word))]


def _without(word: str, place: int) -> str:
    return word[:place] + word[place + 1 :]


def _with(word: str, place: int, letter: str) -> str:
    """A letter more, behind the place."""
    return word[: place + 1] + _like(word[place], letter) + word[place + 1 :]


def _omit(word: str, rng: Random) -> str | None:
    return _without(word, _pick(_inner(word), rng))


def _undouble(word: str, rng: Random) -> str | None:
    pairs = [place for place in _inner(word) if word[place] == word[place - 1]]
    return None if not pairs else _without(word, rng.choice(pairs))


def _double(word: str, rng: Random) -> str | None:
    place = _pick(_inner(word), rng)
    return _with(word, place, word[place])


def _swap(word: str, rng: Random) -> str | None:
    places = [place for place in range(1, len(word) - 1) if word[place] != word[place + 1]]
    if not places:
        return None
    place = _pick(places, rng)
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _replace_by(table: dict[str, str]) -> Edit:
    def edit(word: str, rng: Random) -> str | None:
        places = [place for place in _inner(word) if word[place].lower() in table]
        if not places:
            return None
        place = _pick(places, rng)
        letter = _like(word[place], rng.choice(table[word[place].lower()]))
        return word[:place] + letter + word[place + 1 :]

    return edit


def _add(word: str, rng: Random) -> str | None:
    """A letter more, of those that people add."""
    place, letter = _pick(_inner(word), rng), rng.choice(_ADDED)
    return None if letter in word[place : place + 2].lower() else _with(word, place, letter)


def _strike_beside(word: str, rng: Random) -> str | None:
    """A key beside the right one struck with it."""
    places = [place for place in _inner(word) if word[place].lower() in KEYBOARD]
    if not places:
        return None
    place = _pick(places, rng)
    return _with(word, place, rng.choice(KEYBOARD[word[place].lower()]))


def _like(letter: str, other: str) -> str:
    return other.upper() if letter.isupper() else other


_EDITS: tuple[tuple[float, Edit], ...] = (
    (0.26, _omit),
    (0.25, _undouble),
    (0.07, _double),
    (0.15, _swap),
    (0.15, _replace_by(_VOWELS)),
    (0.03, _replace_by(_SOUNDS)),
    (0.02, _replace_by(KEYBOARD)),
    (0.10, _add),
    (0.02, _strike_beside),
)
_TWICE = 0.15
"""measured: shares of the kinds among 4,241 misspellings of Wikipedia's writers, and of those that
take more than one edit; tests/data/edit_kinds.py compares both."""


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
        pieces.append(misspell_word(word[0], rng) if place in chosen else word[0])
        start = word.end()
    return "".join([*pieces, text[start:]])


def misspell_word(word: str, rng: Random) -> str:
    """The word with one edit, seldom with two.

    Args:
        word: of at least two letters.
        rng: decides which.

    Returns:
        Another text.
    """
    made = _edited(word, rng)
    if rng.random() < _TWICE:
        made = _edited(made, rng)
    return made if made != word else _edited(word, rng)


def _edited(word: str, rng: Random) -> str:
    weights = [weight for weight, _ in _EDITS]
    while True:
        ((_, edit),) = rng.choices(_EDITS, weights)
        made = edit(word, rng)
        if made is not None and made != word:
            return made
