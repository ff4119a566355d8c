"""What a text in other words is held to, whoever wrote it: numbers, names, meaning, no answer told.

Every rule is cheap and none knows grammar: what is turned down wrongly costs a call, what is let
through wrongly is learned.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.answers import without_fence
from stillhouse.data.blanks import find_blanks
from stillhouse.data.choices import find_choices
from stillhouse.data.meaning import claims_of
from stillhouse.data.words import words_of

Embed = Callable[[Sequence[str]], NDArray[np.floating]]
"""Directions of texts, (N, D), each of length 1."""

FAR = "far_in_meaning"

KEPT_AT_LEAST = 1 / 3
"""assumption: a text in other words shares a third of the longer words' beginnings; one about
something else, or in another language, shares hardly any."""

SIMILAR_AT_LEAST = 0.6
"""assumption: cosine of sentence embeddings; paraphrases of MiniLM lie above it."""

_LONGEST, _ROOM = 3, 120
"""assumption: other words take up to three times the letters, short texts some more."""

_BEGINNING = 5
"""assumption: words that begin with the same five letters are forms of one."""

_COMMON = frozenset({
    "what", "which", "whom", "whose", "when", "where", "does", "this", "that", "with", "from",
    "have", "been", "were", "will", "would", "into", "than", "then", "they", "their", "there",
    "these", "those", "your", "about", "called", "following",
})  # fmt: skip
"""Words that say little of what a text is about."""

_ENDS = ("?", "？", "؟", ";")
_LEAD = re.compile(
    r"(?:\W*(?:rewritten|reworded|rephrased|new)?\s*(?:question|answer|text|version)\W*:\s*)",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<=[^.!?:\s]\s)[A-Z][\w&'-]+|\b[A-Z]{2,}\b")
_QUOTES = {'"': '"', "'": "'", "“": "”", "«": "»", "„": "“"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """What new words for a text are held to.

    Attributes:
        source: the text whose numbers, names and meaning are kept.
        answer: what must not be told; empty where nothing is to be kept quiet.
        asks: it must be a question.
        instead_of: what is there without them; the same again is of no use. Empty allows all.
    """

    source: str
    answer: str = ""
    asks: bool = True
    instead_of: str = ""


def bare(said: str) -> str:
    """An answer without fence, quotation marks or a label such as `Question:` around it."""
    text = without_fence(said.strip()).strip()
    lead = _LEAD.match(text)
    text = text[lead.end() :].strip() if lead else text
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    return text


def flaw_of(held: Held, said: str) -> str:
    """What is wrong with new words for a text, in short fixed words; empty when they may be used.

    Args:
        held: what they are held to.
        said: as `bare` gives it.

    Returns:
        The first flaw that is found; `far_in_meaning` by shared words, see `far_ones` for more.
    """
    return next((flaw for flaw, is_so in _FLAWS if is_so(held, said)), "")


def far_ones(pairs: Sequence[tuple[str, str]], embed: Embed | None) -> list[bool]:
    """Which texts in other words lie too far from what they were, by embeddings.

    Args:
        pairs: a text and its new words.
        embed: without it none is found far.

    Returns:
        One a pair.
    """
    if embed is None or not pairs:
        return [False] * len(pairs)
    before, after = (embed(list(side)) for side in zip(*pairs, strict=True))
    cosines = (before * after).sum(axis=1)
    return [bool(cosine < SIMILAR_AT_LEAST) for cosine in cosines]


def _is_empty(_: Held, said: str) -> bool:
    return not words_of(said)


def _is_too_long(held: Held, said: str) -> bool:
    return len(said) > _LONGEST * len(held.source) + _ROOM


def _has_blank(held: Held, said: str) -> bool:
    return held.asks and bool(find_blanks(said) or re.search(r"__+", said))


def _has_options(held: Held, said: str) -> bool:
    return find_choices(said) is not None and find_choices(held.source) is None


def _asks_nothing(held: Held, said: str) -> bool:
    return held.asks and not said.rstrip("\"')]”’» ").endswith(_ENDS)


def _has_other_numbers(held: Held, said: str) -> bool:
    return set(claims_of(held.source).numbers) != set(claims_of(said).numbers)


def _denies_otherwise(held: Held, said: str) -> bool:
    return claims_of(held.source).denies != claims_of(said).denies


def _loses_names(held: Held, said: str) -> bool:
    there = {*words_of(said)}
    return any(not there.issuperset(words_of(name)) for name in _NAME.findall(held.source))


def _tells_answer(held: Held, said: str) -> bool:
    answer = words_of(held.answer)
    if sum(map(len, answer)) < 2:  # `a` and `5` stand in many a question
        return False
    return _holds(words_of(said), answer) and not _holds(words_of(held.source), answer)


def _is_in_other_script(held: Held, said: str) -> bool:
    return not set(_scripts(said)) <= {*_scripts(held.source), "LATIN"}


def _is_far(held: Held, said: str) -> bool:
    before, after = _beginnings(held.source), _beginnings(said)
    return len(before & after) < KEPT_AT_LEAST * len(before)


def _says_the_same(held: Held, said: str) -> bool:
    return bool(held.instead_of) and words_of(held.instead_of) == words_of(said)


_FLAWS: tuple[tuple[str, Callable[[Held, str], bool]], ...] = (
    ("empty", _is_empty),
    ("too_long", _is_too_long),
    ("blank_left", _has_blank),
    ("options_left", _has_options),
    ("no_question", _asks_nothing),
    ("same_words", _says_the_same),
    ("other_script", _is_in_other_script),
    ("other_numbers", _has_other_numbers),
    ("other_denial", _denies_otherwise),
    ("name_lost", _loses_names),
    ("answer_told", _tells_answer),
    (FAR, _is_far),
)


def _holds(words: Sequence[str], part: Sequence[str]) -> bool:
    size = len(part)
    return any(list(words[at : at + size]) == list(part) for at in range(len(words) - size + 1))


def _scripts(text: str) -> Iterator[str]:
    for letter in set(text):
        if letter.isalpha():
            yield unicodedata.name(letter, "UNKNOWN").split()[0]


def _beginnings(text: str) -> set[str]:
    words = words_of(text)
    told = [word for word in words if len(word) > 3 or not word.isascii()]
    telling = [word for word in told if word not in _COMMON]
    return {word[:_BEGINNING] for word in telling or told or words}
