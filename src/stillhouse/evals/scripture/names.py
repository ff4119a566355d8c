"""Which book a name means: spellings, abbreviations, ordinals, and near misses of full names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from rapidfuzz import process
from rapidfuzz.distance import OSA

from stillhouse.evals.scripture.books import Book, books
from stillhouse.evals.scripture.words import fold, words

ORDINALS = {
    **{str(number): number for number in range(1, 6)},
    "i": 1,
    "ii": 2,
    "iii": 3,
    "iv": 4,
    "v": 5,
    "first": 1,
    "second": 2,
    "third": 3,
    "fourth": 4,
    "fifth": 5,
    "erste": 1,
    "zweite": 2,
    "dritte": 3,
    "vierte": 4,
    "funfte": 5,
    "erster": 1,
    "zweiter": 2,
    "dritter": 3,
    "vierter": 4,
    "funfter": 5,
    "erstes": 1,
    "zweites": 2,
    "drittes": 3,
    "viertes": 4,
    "funftes": 5,
}
"""What may stand before the name of a book that has a number."""

NEVER_BARE = words("never_bare")
"""Names that are words or too short: they need a capital letter and a verse."""

ORDINARY = words("ordinary")
"""Names that are also words or people: without a verse they need a capital letter and a fitting
next word."""

_NEAR = ((5, 1), (8, 2))
"""(shortest name, edits that may lie between it and what was written)."""

_MISSPELT_WITH_NUMBER = ((4, 1), (7, 2), (11, 3))
"""The same behind a number, which says by itself that a book is meant."""

_FIRST_WITHOUT_NUMBER = frozenset(["cor", "thess", "chr", "chron"])
_NEVER_WITHOUT_NUMBER = frozenset(["chronicle", "corinth", "king", "moses"])

_OTHER_WORDS = words("other_words")
"""Words and names within reach of a book's name that are none."""

_NO_BOOKS = words("no_books")


@dataclass(frozen=True, slots=True)
class Named:
    """A name that was understood.

    Attributes:
        book: None for a number that no book has, as in 3 Corinthians.
        label: of the book that does not exist, else the book's name.
        key: as it is looked up.
        is_german: only German calls it so.
        is_exact: it is in the table, with its number if it needs one.
    """

    book: Book | None
    label: str
    key: str
    is_german: bool
    is_exact: bool


@cache
def _table() -> dict[tuple[int, str], tuple[Book, bool]]:
    found: dict[tuple[int, str], tuple[Book, bool]] = {}
    for book in books():
        for is_german, names in ((False, book.english), (True, book.german)):
            for name in names:
                number = int(name[0]) if name[0].isdecimal() else 0
                key = fold(name[2:] if number else name)
                found.setdefault((number, key), (book, is_german))
    return found


@cache
def _numbered() -> dict[str, Book]:
    """What stands behind a number, to the first book of that name."""
    return {key: book for (number, key), (book, _) in reversed(_table().items()) if number}


@cache
def first_words() -> frozenset[str]:
    """How the names begin, so that most words are passed at once."""
    names = [name for book in books() for name in (*book.english, *book.german)]
    stripped = [name[2:] if name[0].isdecimal() else name for name in names]
    return frozenset(fold(name.split()[0]) for name in stripped)


@cache
def _full_names(*, numbered: bool) -> tuple[str, ...]:
    """What a misspelt word may mean: whole names; behind a number abbreviations too."""
    wholes = {"psalm", *(fold(book.english[0].lstrip("123 ")) for book in books())}
    return tuple(
        dict.fromkeys(
            key
            for (number, key), (_, is_german) in _table().items()
            if bool(number) == numbered
            and not is_german
            and (key in wholes or (numbered and len(key) >= 4))
        )
    )


def name_book(number: int, words: str) -> Named | None:
    """The book of an exactly known name.

    Args:
        number: before it; 0 for none.
        words: the name itself.

    Returns:
        None when no book is called so. A numbered book without its number is the first of its
        name; a number that there is not gives a `Named` without a book.
    """
    key = fold(words)
    found = _table().get((number, key))
    if found is not None:
        return Named(found[0], found[0].name, key, found[1], is_exact=True)
    first = _numbered().get(key)
    if first is None:
        return None
    if number == 0:
        if key not in _FIRST_WITHOUT_NUMBER and (len(key) < 5 or key in _NEVER_WITHOUT_NUMBER):
            return None
        return Named(first, first.name, key, is_german=False, is_exact=False)
    label = f"{number} {first.name[2:] if first.name[0].isdecimal() else first.name}"
    return Named(None, label, key, is_german=False, is_exact=True)


def name_no_book(number: int, word: str) -> Named | None:
    """A book that does not exist, where a name is known to be none.

    Args:
        number: before it; 0 for none.
        word: its name.

    Returns:
        A `Named` without a book; None for any other word, which may be one of ordinary prose.
    """
    key = fold(word)
    if key not in _NO_BOOKS:
        return None
    return Named(None, f"{number or ''} {word}".strip(), key, is_german=False, is_exact=True)


def guess_book(number: int, word: str) -> Named | None:
    """The book whose full name is nearest to a misspelt word.

    Args:
        number: before it; 0 for none.
        word: one word that no book is called.

    Returns:
        None when nothing is near, when two books are equally near, or for an ordinary word.
    """
    key = fold(word)
    if key in _OTHER_WORDS:
        return None
    choices = _full_names(numbered=True)
    if number == 0:
        choices = _full_names(numbered=False) + tuple(name for name in choices if len(name) > 8)
    near = process.extract(key, choices, scorer=OSA.distance, score_cutoff=3, limit=9)
    rule = _MISSPELT_WITH_NUMBER if number else _NEAR
    fitting = [
        (distance, name)
        for name, distance, _ in near
        if name[0] == key[0] and distance <= _reach(min(len(name), len(key)), rule)
    ]
    nearest = [name for distance, name in fitting if distance == fitting[0][0]]
    found = {named.label: named for name in nearest if (named := name_book(number, name))}
    return next(iter(found.values())) if len(found) == 1 else None


def _reach(length: int, rule: tuple[tuple[int, int], ...]) -> int:
    return max((edits for shortest, edits in rule if length >= shortest), default=0)
