"""Whether a passage says the words that are quoted from it: letters compared, nothing understood.

A paraphrase that uses other words is not recognised, so the answer "no" means "not quoted", and
the text of the verses is the user's, in the translation that was quoted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rapidfuzz import fuzz

from stillhouse.core.errors import InputError
from stillhouse.evals.scripture.books import book_by_osis
from stillhouse.evals.scripture.find import read_references
from stillhouse.evals.scripture.references import Reference, verses_of

Verses = Mapping[tuple[str, int, int], str]
"""The text of verses by (OSIS id of the book, chapter, verse)."""

ENOUGH = 0.72
"""Likeness from which words count as quoted.

measured: on 14,677 verses of the King James Version, tests/evals/test_support.py: halves of a
verse with every fifth word left out are above it in 99 of 100 cases, halves of other verses in
fewer than 1 of 100.
"""

FEWEST_WORDS = 4
"""Fewer quoted words than these stand in too many verses to tell anything."""


@dataclass(frozen=True, slots=True)
class Support:
    """How well a passage supports words.

    Attributes:
        likeness: in [0, 1], of the words with the part of the passage that is most like them.
        is_enough: it reaches `ENOUGH`.
    """

    likeness: float
    is_enough: bool


def supports(reference: Reference, words: str, verses: Verses) -> Support | None:
    """Whether the words stand in the passage, nearly letter by letter.

    Args:
        reference: the passage.
        words: quoted from it.
        verses: the text of verses.

    Returns:
        None when it cannot be told: a verse's text is missing, or fewer than `FEWEST_WORDS`.
    """
    places = list(verses_of(reference))
    said = _plain(words)
    has_all = all(place in verses or _is_optional(place) for place in places)
    if not places or not has_all or len(said.split()) < FEWEST_WORDS:
        return None
    known = [verses[place] for place in places if place in verses]
    passage = _plain(" ".join(known))
    # A short passage lies inside of many long claims, so the whole claim must be like it.
    compare = fuzz.partial_ratio if len(said) <= len(passage) else fuzz.ratio
    likeness = compare(said, passage) / 100.0
    return Support(likeness, likeness >= ENOUGH)


def _is_optional(place: tuple[str, int, int]) -> bool:
    book = book_by_osis(place[0])
    return book is not None and place[1:] in book.optional


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def read_verses(path: Path) -> dict[tuple[str, int, int], str]:
    """The text of verses from a file of JSON lines with `book`, `chapter`, `verse` and `text`.

    Args:
        path: the file; the book as any name or id that a reference may use.

    Returns:
        Text by place.

    Raises:
        InputError: a line is no such object, or its verse does not exist.
    """
    found = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            named = f"{row['book']} {int(row['chapter'])}:{int(row['verse'])}"
            text = str(row["text"])
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{path}:{number}: no verse can be read: {error}",
                'write {"book": "John", "chapter": 3, "verse": 16, "text": "..."}',
            ) from error
        places = [place for one in read_references(named) for place in verses_of(one)]
        if len(places) != 1:
            raise InputError(f"{path}:{number}: there is no verse {named}")
        found[places[0]] = text
    return found
