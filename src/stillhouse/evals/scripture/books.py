"""The 66 books with the verses of each chapter, as counted in the King James Version.

Two chapters end one verse later in other editions; both endings exist here. Hebrew Bibles, and
most German ones with them, end some chapters elsewhere, as in Joel, Malachi and many psalms.
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
        hebrew: verses of each chapter as Hebrew Bibles count them.
    """

    index: int
    osis: str
    english: tuple[str, ...]
    german: tuple[str, ...]
    verses: tuple[int, ...]
    optional: frozenset[tuple[int, int]] = frozenset()
    hebrew: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """As it is written in full."""
        return "Psalm" if self.osis == "Ps" else self.english[0]

    def has(self, chapter: int, verse: int | None = None, *, in_german: bool = False) -> bool:
        """Whether there is such a chapter, or such a verse in it."""
        last = self.last_verse(chapter, in_german=in_german)
        return last > 0 and (verse is None or 1 <= verse <= last)

    def last_verse(self, chapter: int, *, in_german: bool = False) -> int:
        """A chapter's last verse, 0 without such a chapter; in German the later of both counts."""
        counts = (self.verses, self.hebrew) if in_german else (self.verses,)
        return max((own[chapter - 1] for own in counts if 1 <= chapter <= len(own)), default=0)


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
    hebrew = dict(enumerate(verses, 1)) | row.get("hebrew", {})
    return Book(
        index=index,
        osis=row["osis"],
        english=tuple(row["english"]),
        german=tuple(row.get("german", ())),
        verses=tuple(verses),
        optional=frozenset(also.items()),
        hebrew=tuple(filter(None, hebrew.values())),
    )


@cache
def book_by_osis(osis: str) -> Book | None:
    """The book of that id; None when there is none."""
    return next((book for book in books() if book.osis == osis), None)
