"""References to the Bible in a text, in the order in which they stand there.

Ordinary words that are also names of books count only where their form says so: "Mark 3:5" and
"Acts 2 says", but neither "mark 3 items" nor "acts 2 times". Such a rule errs now and then; what
a reference says is found, whether it exists is another question (`find_problem`). Of books that
do not exist those of a short list are found, because "Monday 3:16" has the form of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property

from stillhouse.evals.scripture import names
from stillhouse.evals.scripture.names import Named
from stillhouse.evals.scripture.passages import (
    CHAPTER_WORDS,
    VERSE_WORDS,
    Passage,
    PassageReader,
    Start,
)
from stillhouse.evals.scripture.references import Place, Reference, find_problem
from stillhouse.evals.scripture.tokens import LARGEST, Tokens
from stillhouse.evals.scripture.words import words

_KINDS = words("kinds")
_FILLERS = words("fillers")
_GERMAN = re.compile(r"\b(?:und|der|ist|nicht|ich|wir|siehe|vgl|steht|vers|kapitel)\b", re.I)
_BETWEEN = frozenset(["and", "und", "see", "siehe", "vgl", "cf"])
_READING = words("reading")
_TELLS = words("tells")
_BEGINS_WITH_VERSE = re.compile(r"\s*\d{1,3}[:,.]\d{1,3}")
_LOOKS_LIKE_ONE = re.compile(r"[^\W\d_]\.? ?\d{1,3}[:.,]\d")
_MOST_WORDS = 4
_NEAR_CHARACTERS = 80  # assumption: "verse 16" further away belongs to something else
_CONTEXT_TOKENS = 3


def find_references(text: str) -> list[Reference]:
    """The references in a text, those that do not exist included.

    Args:
        text: of any language; names of books in English, German or as OSIS ids.

    Returns:
        In order, one for each passage of a list: `John 3:16, 18` are two.
    """
    return list(_Finder(text, is_list=False))


def read_references(text: str) -> list[Reference]:
    """The references in a text that is said to hold references alone, such as a field of an answer.

    Args:
        text: such as `Is 9:6; Jude 5`.

    Returns:
        As `find_references`, but every name of a book counts, and a book without a chapter too.
    """
    return list(_Finder(text, is_list=True))


def find_entry_problem(text: str) -> str:
    """What is wrong with an entry of a list of references, in words; empty when nothing is.

    Args:
        text: such as `Jude 5`, which is fine, or `Hezekiah 3:16`, for which there is no book.

    Returns:
        The first problem.
    """
    found = read_references(text)
    rest, place = [], 0
    for reference in found:
        rest.append(text[place : reference.span[0]])
        place = reference.span[1]
    left = " ".join([*rest, text[place:]])
    if not found or _LOOKS_LIKE_ONE.search(left):
        return f"no reference to the Bible can be read in {(left.strip() or text)!r}"
    return next(filter(None, map(find_problem, found)), "")


def complete_entries(entries: Sequence[str]) -> list[str]:
    """The entries of a list, each with the name of its book.

    Args:
        entries: such as `Mk 4:3-8`, then `4:13-20` of the same book.

    Returns:
        As many entries; one of numbers alone begins with the book of the entry before.
    """
    found: list[str] = []
    name = ""
    for entry in entries:
        whole = f"{name} {entry.strip()}" if name and _BEGINS_WITH_VERSE.match(entry) else entry
        named = [one.last.book for one in read_references(whole) if one.last.book]
        name = named[-1].name if named else name
        found.append(whole)
    return found


class _Finder:
    """One text with its references.

    Args:
        text: the text.
        is_list: it holds references alone.
    """

    def __init__(self, text: str, *, is_list: bool) -> None:
        self._text = text
        self._tokens = Tokens(text)
        self._is_list = is_list
        self._last: Reference | None = None
        self._last_end = 0

    @cached_property
    def _is_german(self) -> bool:
        return _GERMAN.search(self._text) is not None

    def __iter__(self) -> Iterator[Reference]:
        place = 0
        while place < len(self._tokens):
            begin = place
            named, end = self._name_at(place)
            found, place = self._follow(place) if named is None else self._read(place, named, end)
            label = named.label if named else ""
            for passage in found:
                # The first of a list begins with the name, the others with their own number.
                is_first = named is not None and passage is found[0]
                self._last = self._reference(passage, begin if is_first else passage.begin, label)
                self._last_end = passage.end
                yield self._last

    def _reference(self, passage: Passage, begin: int, label: str) -> Reference:
        start, stop = self._tokens[begin].start, self._tokens[passage.end - 1].end
        return Reference(
            passage.first,
            passage.last,
            self._text[start:stop],
            (start, stop),
            label,
            passage.in_german,
        )

    def _name_at(self, place: int) -> tuple[Named | None, int]:
        """The book whose name begins at a token, and the place behind the name."""
        number, at = self._ordinal(place)
        if number:
            named, end = self._words_at(number, at)
            if named is not None:
                return named, end
        return self._words_at(0, place)

    def _start_at(self, place: int) -> Start | None:
        named, end = self._name_at(place)
        if named is None:
            return None
        is_numbered = self._tokens.number(place) is not None
        return Start(named.book, is_numbered, self._skip_to_number(end))

    def _ordinal(self, place: int) -> tuple[int, int]:
        tokens = self._tokens
        sign = tokens.sign(place)
        number = names.ORDINALS.get(tokens.key(place), 0)
        if not number or (len(sign) < 3 and sign.isalpha() and not sign.isupper()):
            return 0, place
        at = place + 1
        if tokens.is_attached(at) and tokens.key(at) in ("st", "nd", "rd"):
            at += 1
        at = tokens.skip(at, ".")
        if tokens.key(at) in _KINDS:
            at += 1
            while tokens.key(at) in _FILLERS:
                at += 1
        return number, at

    def _words_at(self, number: int, place: int) -> tuple[Named | None, int]:
        tokens = self._tokens
        if not tokens.is_word(place):
            return None, place
        if tokens.key(place) in names.first_words():
            places = [place]
            while len(places) < _MOST_WORDS and tokens.is_word(places[-1] + 1):
                places.append(places[-1] + 1)
            while places:
                named = names.name_book(number, tokens.joined(places))
                if named is not None:
                    return named, places[-1] + 1
                places.pop()
        return self._guess(number, place), place + 1

    def _guess(self, number: int, place: int) -> Named | None:
        """A misspelt or invented name: only before chapter and verse, only with a capital."""
        tokens = self._tokens
        at = self._skip_to_number(place + 1)
        has_verse = (
            tokens.number(at) is not None
            and tokens.sign(at + 1) in (":", ".", ",")
            and tokens.number(at + 2) is not None
        )
        if not has_verse or not (number or self._is_list or tokens.sign(place)[0].isupper()):
            return None
        word = tokens.sign(place)
        invented = names.name_no_book(number, word) if tokens.sign(at + 1) == ":" else None
        return invented or names.guess_book(number, word)

    def _skip_to_number(self, place: int) -> int:
        tokens = self._tokens
        at = tokens.skip(place, ".*")
        at = tokens.skip(at, ":*")
        at = tokens.skip_words(at, CHAPTER_WORDS)
        return at if tokens.number(at) is not None else place

    def _read(self, begin: int, named: Named, end: int) -> tuple[list[Passage], int]:
        """The passages of a named book, and the place where the search goes on."""
        at = self._skip_to_number(end)
        reader = PassageReader(
            self._tokens, named.book, named.is_german or self._is_german, self._start_at
        )
        found = reader.read(at)
        if not found:
            return self._whole_book(begin, named, end), end
        if not self._is_meant(begin, named, found[0]):
            return [], begin + 1
        return found, found[-1].end

    def _whole_book(self, begin: int, named: Named, end: int) -> list[Passage]:
        place = Place(named.book)
        is_said = self._is_list or self._is_called_a_book(begin)
        return [Passage(place, place, begin, end)] if is_said else []

    def _is_called_a_book(self, begin: int) -> bool:
        """Whether "book of", "letter to the" or the like stands before the name."""
        before = [self._tokens.key(begin - back) for back in range(1, _CONTEXT_TOKENS + 1)]
        for key in before:
            if key in _KINDS:
                return self._tokens.sign(begin)[0].isupper()
            if key not in _FILLERS:
                return False
        return False

    def _is_meant(self, begin: int, named: Named, first: Passage) -> bool:
        """Whether what reads like a reference is one, and no count, time or sentence."""
        if self._is_list:
            return True
        sign = self._tokens.sign(begin)
        has_capital = sign[0].isupper() or sign[0].isdecimal()
        has_verse = first.first.verse is not None
        if has_verse and self._tokens.key(first.end) in ("am", "pm"):
            return False
        is_pronoun = sign == "I" and named.key in names.ORDINARY
        if not named.is_exact or is_pronoun:
            return has_verse and has_capital
        if named.key in names.NEVER_BARE and not sign[0].isdecimal():
            return has_capital and (has_verse or self._follows_another(begin))
        if self._is_decimal(first) and named.key in names.ORDINARY:
            return False
        if has_verse or self._follows_another(begin):
            return True
        if named.key in names.ORDINARY or sign[0].isdecimal():
            name = self._tokens.sign(begin + 1) if sign[0].isdecimal() else sign
            is_named = name[:1].isupper() or self._tokens.key(begin - 1) in _READING
            return is_named and self._is_chapter(first)
        return True

    def _is_chapter(self, first: Passage) -> bool:
        """Whether the number behind an ordinary word is of a chapter, and counts nothing."""
        tokens, chapter = self._tokens, first.last.chapter or 0
        if first.first.book is None or first.first.book.has(first.first.chapter or 0):
            return not tokens.counts_things(first.end)
        # "Numbers 104" and "Job 45" count something, "Acts 29 says" names what does not exist.
        ends = tokens.is_one_of(first.end, ".,;:!?)]") and tokens.number(first.end + 1) is None
        return chapter <= LARGEST and (ends or tokens.key(first.end) in _TELLS)

    def _is_decimal(self, first: Passage) -> bool:
        """Whether the numbers are rather one with a point: "2.0", "1.5 miles"."""
        has_point = self._tokens.sign(first.begin + 1) == "."
        return has_point and (first.first.verse == 0 or self._tokens.counts_things(first.end))

    def _follows_another(self, begin: int) -> bool:
        """Whether only signs and an "and" stand between this name and the last reference."""
        if self._last is None or begin - self._last_end > _CONTEXT_TOKENS:
            return False
        between = range(self._last_end, begin)
        return all(
            not self._tokens.is_word(place) or self._tokens.key(place) in _BETWEEN
            for place in between
        )

    def _follow(self, place: int) -> tuple[list[Passage], int]:
        """Verses of the chapter that was named last, as in "verse 16"."""
        tokens = self._tokens
        at = tokens.skip(place + 1, ".")
        last = self._last
        if tokens.key(place) not in VERSE_WORDS or tokens.number(at) is None or last is None:
            return [], place + 1
        is_far = tokens[place].start - last.span[1] > _NEAR_CHARACTERS
        # "Verse 2:" is the heading of a song's part.
        if last.last.chapter is None or is_far or tokens.sign(at + 1) == ":":
            return [], place + 1
        reader = PassageReader(tokens, last.last.book, self._is_german, self._start_at)
        found = reader.read(at, last.last.chapter)
        return found, found[-1].end if found else place + 1
