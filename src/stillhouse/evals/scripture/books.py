"""The 66 books with the verses of each chapter, as counted in the King James Version.

Two chapters end one verse later in other editions; both endings exist here. Editions that number
Joel, Malachi or the headings of psalms otherwise (many German ones) differ in those places.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from ruamel.yaml import YAML


@dataclass(frozen=True, slots=True)
class Book:
    """One book.

    Attributes:
        index: its place, 0 for Genesis.
        osis: its id in the Open Scripture Information Standard, such as `1Cor`.
        english: names, the first as it is written in full.
        german: names that only German has.
        verses: of each chapter, in the edition that counts most.
        optional: (chapter, verse) that only some editions count.
    """

    index: int
    osis: str
    english: tuple[str, ...]
    german: tuple[str, ...]
    verses: tuple[int, ...]
    optional: frozenset[tuple[int, int]] = frozenset()

    @property
    def name(self) -> str:
        """As it is written in full."""
        return "Psalm" if self.osis == "Ps" else self.english[0]

    def has(self, chapter: int, verse: int | None = None) -> bool:
        """Whether there is such a chapter, or such a verse in it."""
        if not 1 <= chapter <= len(self.verses):
            return False
        return verse is None or 1 <= verse <= self.verses[chapter - 1]


@cache
def books() -> tuple[Book, ...]:
    """All of them, in the order of English Bibles."""
    text = (resources.files("stillhouse.evals.scripture") / "books.yaml").read_text("utf-8")
    rows: list[dict[str, Any]] = YAML(typ="safe", pure=True).load(text)
    return tuple(_build(index, row) for index, row in enumerate(rows))


def _build(index: int, row: dict[str, Any]) -> Book:
    verses, also = list(row["verses"]), row.get("also", {})
    for chapter, last in also.items():
        verses[chapter - 1] = last
    return Book(
        index=index,
        osis=row["osis"],
        english=tuple(row["english"]),
        german=tuple(row.get("german", ())),
        verses=tuple(verses),
        optional=frozenset(also.items()),
    )


@cache
def book_by_osis(osis: str) -> Book | None:
    """The book of that id; None when there is none."""
    return next((book for book in books() if book.osis == osis), None)
