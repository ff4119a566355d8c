"""The chapters and verses that follow the name of a book: `3:16-18, 20; 4:2`, `3,16 ff`, `23`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from stillhouse.evals.scripture.books import Book
from stillhouse.evals.scripture.references import Place
from stillhouse.evals.scripture.tokens import LARGEST, Tokens
from stillhouse.evals.scripture.words import words

CHAPTER_WORDS = words("chapter")
VERSE_WORDS = words("verse")
_DASHES = "-–—−‐~_"
_TO = words("to")
_AND = words("and")
_FOLLOWING = ("f", "ff")


@dataclass(frozen=True, slots=True)
class Passage:
    """A range or a single place, with the tokens [begin, end) that say it, and their language."""

    first: Place
    last: Place
    begin: int
    end: int
    in_german: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """A book's name as found at a place, with the place behind it."""

    book: Book | None
    is_numbered: bool
    end: int


class PassageReader:
    """Reads the numbers behind one book's name.

    Args:
        tokens: of the text.
        book: None for one that does not exist.
        comma_is_colon: a comma stands between chapter and verse, as in German.
        book_at: the book whose name begins at a token, if one does.
    """

    def __init__(
        self,
        tokens: Tokens,
        book: Book | None,
        comma_is_colon: bool,
        book_at: Callable[[int], Start | None],
    ) -> None:
        self._tokens = tokens
        self._book = book
        self._comma = comma_is_colon
        self._book_at = book_at
        self._sign = ""

    def read(self, begin: int, chapter: int | None = None) -> list[Passage]:
        """The passages from a token on.

        Args:
            begin: the first token behind the book's name.
            chapter: of which the first numbers are verses; None when they are chapters.

        Returns:
            Empty when no number stands there.
        """
        found: list[Passage] = []
        place: int | None = begin
        separator = ""
        while place is not None:
            passage = self._passage(place, chapter, separator)
            if passage is None:
                break
            found.append(passage)
            chapter = passage.last.chapter if passage.last.verse is not None else None
            if passage.last.book is not self._book:
                break
            separator = self._tokens.sign(passage.end)
            place = self._next_number(passage.end, has_verse=chapter is not None)
        return found

    def _passage(self, begin: int, chapter: int | None, separator: str) -> Passage | None:
        number = self._tokens.number(begin)
        if number is None:
            return None
        end = begin + 1
        at = self._verse_after(number, end, separator)
        if at is not None:
            first = Place(self._book, number, self._tokens.number(at))
            end = at + 1
        elif chapter is not None:
            first = Place(self._book, chapter, number)
        elif self._is_verse_of_only_chapter(number, end):
            first = Place(self._book, 1, number)
        else:
            first = Place(self._book, number)
        end = self._skip_part(end, first)
        first, last, end = self._to_the_end(first, end)
        return Passage(first, last, begin, end, self._comma or self._sign == ",")

    def _is_verse_of_only_chapter(self, number: int, end: int) -> bool:
        if self._book is None or len(self._book.verses) > 1:
            return False
        return number > 1 or self._tokens.is_one_of(end, _DASHES + ",")

    def _verse_after(self, chapter: int, end: int, separator: str) -> int | None:
        """Where the verse's number stands, when a sign between chapter and verse comes first."""
        tokens, sign = self._tokens, self._tokens.sign(end)
        if tokens.key(end) in VERSE_WORDS:
            at = tokens.skip(end + 1, ".")
        elif sign == ":":
            at = tokens.skip(end + 1, ":,")
        elif self._is_verse_sign(sign, chapter, end, separator):
            at = end + 1
        else:
            return None
        if tokens.number(at) is None:
            return None
        self._sign = self._sign or sign
        return at

    def _is_verse_sign(self, sign: str, chapter: int, end: int, separator: str) -> bool:
        tokens = self._tokens
        if not sign or sign == separator or (self._sign and sign != self._sign):
            return False
        attached = tokens.is_attached(end) and tokens.is_attached(end + 1)
        if sign == ",":
            if self._comma:
                return tokens.is_attached(end)
            is_begun = tokens.key(end + 2) in _FOLLOWING or tokens.is_one_of(end + 2, _DASHES)
            other = tokens.number(end + 1)
            return attached and (self._descends(chapter, other, in_german=True) or is_begun)
        if sign == "/" and tokens.sign(end + 2) == "/":
            return False
        return attached and tokens.is_one_of(end, ".'’*/")

    def _descends(self, chapter: int, other: int | None, *, in_german: bool = False) -> bool:
        """Whether "5,3" cannot be two chapters in order, and is chapter and verse instead."""
        if other is None or self._book is None:
            return False
        if not self._book.has(chapter, other, in_german=in_german):
            return False
        return other <= chapter or not self._book.has(other)

    def _skip_part(self, end: int, first: Place) -> int:
        """The place after the letter of a part of a verse, as in 17:6a."""
        is_part = first.verse is not None and self._tokens.key(end) in ("a", "b", "c")
        return end + 1 if is_part and self._tokens.is_attached(end) else end

    def _to_the_end(self, first: Place, end: int) -> tuple[Place, Place, int]:
        """First and last place of a range, and the token behind it."""
        if self._tokens.key(end) in _FOLLOWING:
            last = self._following(first, self._tokens.key(end))
            return first, last, self._tokens.skip(end + 1, ".")
        at = self._skip_dash(end)
        if at == end:
            return first, first, end
        other = self._book_at(at)
        if other is not None and self._is_next(other):
            return self._to_other_book(first, other)
        number = self._tokens.number(at)
        if number is None or self._is_apart(end, at, number):
            return first, first, end
        if first.verse is None and self._descends(first.chapter or 0, number):
            # "25-17" in a book without that range: chapter and verse.
            return self._to_the_end(replace(first, verse=number), at + 1)
        verse = self._verse_after(number, at + 1, "")
        # "1:20-33 vs 33" ends before the word.
        if verse is not None and not self._tokens.is_word(at + 1):
            last = Place(self._book, number, self._tokens.number(verse))
            at = verse
        elif first.verse is not None:
            last = replace(first, verse=number)
        else:
            last = replace(first, chapter=number)
        return first, last, self._skip_part(at + 1, last)

    def _following(self, first: Place, word: str) -> Place:
        book = self._book
        if book is None or first.chapter is None or not book.has(first.chapter):
            return first
        if first.verse is None:
            last = first.chapter + 1 if word == "f" else len(book.verses)
            return replace(first, chapter=last)
        last = first.verse + 1 if word == "f" else book.verses[first.chapter - 1]
        return replace(first, verse=max(last, first.verse))

    def _skip_dash(self, end: int) -> int:
        at = self._tokens.skip(end, _DASHES)
        at = self._tokens.skip_words(at, _TO)
        return self._tokens.skip(at, _DASHES)

    def _is_apart(self, end: int, at: int, number: int) -> bool:
        """Whether a dash with room around it parts sentences rather than joins numbers."""
        is_spaced = not self._tokens.is_attached(end)
        return is_spaced and (number > LARGEST or self._tokens.counts_things(at + 1))

    def _is_next(self, other: Start) -> bool:
        """Whether a range may run into that book: itself and the one behind it."""
        if self._book is None or other.book is None or self._tokens.number(other.end) is None:
            return False
        return other.book.index - self._book.index in (0, 1)

    def _to_other_book(self, first: Place, other: Start) -> tuple[Place, Place, int]:
        chapter = self._tokens.number(other.end) or 0
        verse = self._verse_after(chapter, other.end + 1, "")
        if verse is None:
            return first, Place(other.book, chapter), other.end + 1
        return first, Place(other.book, chapter, self._tokens.number(verse)), verse + 1

    def _next_number(self, end: int, *, has_verse: bool) -> int | None:
        """Where the next number of the list stands."""
        at = self._skip_separator(end, has_verse=has_verse)
        if at == end:
            return None
        if has_verse:
            at = self._tokens.skip_words(at, VERSE_WORDS)
        number = self._tokens.number(at)
        if number is None or number > LARGEST or self._tokens.counts_things(at + 1):
            return None
        start = self._book_at(at)
        return None if start and start.is_numbered else at

    def _skip_separator(self, end: int, *, has_verse: bool) -> int:
        at = self._tokens.skip(end, ",;&+")
        at = self._tokens.skip_words(at, _AND)
        if at > end:
            return at
        if not has_verse or not self._tokens.is_attached(end):
            return end
        # "34. 37-43": a number behind a full stop counts when it begins a range.
        is_range = self._tokens.is_one_of(end + 2, _DASHES) and self._tokens.is_attached(end + 3)
        is_joined = self._tokens.is_attached(end + 1)
        signs = ":./-" if is_joined else "." if is_range else ""
        return self._tokens.skip(end, signs)
