"""What a reference is, how it is written, and what of it does not exist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stillhouse.evals.scripture.books import Book, books


@dataclass(frozen=True, slots=True)
class Place:
    """A book, a chapter of it, or a verse of that.

    Attributes:
        book: None for a book that does not exist.
        chapter: None for the whole book.
        verse: None for the whole chapter.
    """

    book: Book | None
    chapter: int | None = None
    verse: int | None = None

    def osis(self, label: str = "") -> str:
        """Such as `1Cor.13.4`; a book that does not exist is called as it was written."""
        name = self.book.osis if self.book else label
        return ".".join([name, *self.numbers])

    @property
    def numbers(self) -> tuple[str, ...]:
        """Chapter and verse as far as they are named, a 0 that does not exist included."""
        return tuple(str(part) for part in (self.chapter, self.verse) if part is not None)


@dataclass(frozen=True, slots=True)
class Reference:
    """A passage that a text names, whether it exists or not.

    Attributes:
        first: where it begins.
        last: where it ends; equal to `first` for one place.
        text: as it was written.
        span: where, as two offsets into the text.
        label: the book as it was named, for a book that does not exist.
        in_german: so are its name, its comma or the text around it, so that verses as German
            Bibles number them exist too.
    """

    first: Place
    last: Place
    text: str = ""
    span: tuple[int, int] = (0, 0)
    label: str = ""
    in_german: bool = False

    @property
    def osis(self) -> str:
        """Such as `John.3.16`, or `John.3.16-John.3.18`; a whole chapter is `John.3`."""
        first, last = self.first.osis(self.label), self.last.osis(self.label)
        return first if first == last else f"{first}-{last}"


def write_reference(reference: Reference) -> str:
    """A reference in plain English, such as `1 Corinthians 13:4-7`."""
    first, last = reference.first, reference.last
    name = first.book.name if first.book else reference.label
    begin = f"{name} {_numbers(first)}".strip()
    if first == last:
        return begin
    if first.book != last.book and last.book:
        return f"{begin} - {last.book.name} {_numbers(last)}".strip()
    if first.verse is not None and first.chapter == last.chapter:
        return f"{begin}-{last.verse}"
    return f"{begin}-{_numbers(last)}"


def _numbers(place: Place) -> str:
    return ":".join(place.numbers)


def find_problem(reference: Reference) -> str:
    """What of a reference does not exist, in words; empty when all of it does.

    Args:
        reference: found in a text, or made by hand.

    Returns:
        Such as `Jude has 1 chapter, so there is no chapter 2`.
    """
    for place in (reference.first, reference.last):
        problem = _missing(place, reference)
        if problem:
            return problem
    return "" if _order(reference.first) <= _order(reference.last) else "it ends before it begins"


def is_valid(reference: Reference) -> bool:
    """Whether all that a reference names exists."""
    return not find_problem(reference)


def _missing(place: Place, reference: Reference) -> str:
    book, chapter, verse = place.book, place.chapter, place.verse
    if book is None:
        return f"no book of the Bible is called {reference.label!r}"
    if chapter is None or book.has(chapter, verse, in_german=reference.in_german):
        return ""
    count = max(len(book.verses), len(book.hebrew) if reference.in_german else 0)
    last = book.last_verse(chapter, in_german=reference.in_german)
    if not last:
        plural = "" if count == 1 else "s"
        return f"{book.name} has {count} chapter{plural}, so there is no chapter {chapter}"
    return f"{book.name} {chapter} has {last} verses, so there is no verse {verse}"


def _order(place: Place) -> tuple[int, int, int]:
    index = place.book.index if place.book else -1
    return index, place.chapter or 0, place.verse or 0


def verses_of(reference: Reference) -> Iterator[tuple[str, int, int]]:
    """Every verse of a reference that the King James Version has, as (OSIS id, chapter, verse)."""
    first, last = reference.first, reference.last
    if first.book is None or last.book is None or not is_valid(reference):
        return
    begin = (first.book.index, first.chapter or 1, first.verse or 1)
    end_chapter = last.chapter or len(last.book.verses)
    end_verse = last.verse or last.book.last_verse(end_chapter)
    end = (last.book.index, end_chapter, end_verse)
    for book in books()[first.book.index : last.book.index + 1]:
        for chapter, count in enumerate(book.verses, 1):
            for verse in range(1, count + 1):
                if begin <= (book.index, chapter, verse) <= end:
                    yield book.osis, chapter, verse
