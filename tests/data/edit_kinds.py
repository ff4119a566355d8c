"""Kinds of edits in misspellings, real ones and ours, as a table.

`phonetic` is the share of misspellings that sound like the word (equal Soundex code), `beside` that
of added or exchanged letters that lie beside the right one on the keyboard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from random import Random

from stillhouse.data.typos import KEYBOARD, misspell_word

Pair = tuple[str, str]

_ALIKE = ("bfpv", "cgjkqsxz", "dt", "l", "mn", "r")
_CODES = {letter: code for code, letters in enumerate(_ALIKE, 1) for letter in letters}

KINDS = ("insert", "double", "delete", "undouble", "substitute a vowel", "substitute", "transpose",
         "several")  # fmt: skip
TRAITS = ("phonetic", "beside", "first letter", "first third", "last third")


def soundex(word: str) -> str:
    """The four signs of the American Soundex."""
    word = "".join(filter(str.isalpha, word.lower()))
    coded = [_CODES.get(letter, 0) for letter in word if letter not in "hw"]
    runs = [code for code, _ in groupby(coded)]
    digits = [str(code) for code in runs[1:] if code]
    return (word[:1] + "".join(digits) + "000")[:4]


def edit_of(wrong: str, right: str) -> tuple[str, int, str, str]:
    """The kind of the edit, its place in the right word, and the letters that stand and that were.

    Args:
        wrong: the misspelling.
        right: the word.

    Returns:
        (one of `KINDS`, place, new letters, old letters).
    """
    start = next(
        (at for at, (new, old) in enumerate(zip(wrong, right, strict=False)) if new != old),
        min(len(wrong), len(right)),
    )
    rest = min(len(wrong), len(right)) - start
    end = next((at for at in range(rest) if wrong[-1 - at] != right[-1 - at]), rest)
    new, old = wrong[start : len(wrong) - end], right[start : len(right) - end]
    around = right[max(0, start - 1) : start] + right[start + len(old) :][:1]
    return _kind(new, old, around), start, new, old


def _kind(new: str, old: str, around: str) -> str:
    if len(new) == 2 and new == old[::-1]:
        return "transpose"
    if len(new) == 1 and len(old) == 1:
        return "substitute a vowel" if {new, old} <= set("aeiouy") else "substitute"
    if len(new) == 1 and not old:
        return "double" if new in around else "insert"
    if not new and len(old) == 1:
        return "undouble" if old in around else "delete"
    return "several"


def table_of(pairs: Sequence[Pair]) -> dict[str, float]:
    """The share of each kind and trait."""
    edits = [edit_of(*pair) for pair in pairs]
    kinds = Counter(kind for kind, *_ in edits)
    single = [(kind, place / max(1, len(right) - 1), place)
              for (kind, place, *_), (_, right) in zip(edits, pairs, strict=True)
              if kind != "several"]  # fmt: skip
    keyed = [(new, old, right, place) for (kind, place, new, old), (_, right) in
             zip(edits, pairs, strict=True)
             if kind in ("insert", "substitute", "substitute a vowel")]  # fmt: skip
    shares = {kind: kinds[kind] / len(pairs) for kind in KINDS}
    shares["phonetic"] = sum(soundex(a) == soundex(b) for a, b in pairs) / len(pairs)
    shares["beside"] = sum(_is_beside(*one) for one in keyed) / max(1, len(keyed))
    shares["first letter"] = sum(place == 0 for *_, place in single) / len(single)
    shares["first third"] = sum(at < 1 / 3 for _, at, _ in single) / len(single)
    shares["last third"] = sum(at > 2 / 3 for _, at, _ in single) / len(single)
    return shares


def _is_beside(new: str, old: str, right: str, place: int) -> bool:
    near = old or right[max(0, place - 1) : place + 1]
    return any(new in KEYBOARD.get(letter, "") for letter in near)


def read_pairs(path: Path) -> list[Pair]:
    """Misspelling and first correction of each line, single words of letters alone."""
    lines = path.read_text(encoding="utf-8").split("\n")
    pairs = [line.lower().split("->") for line in lines if "->" in line]
    firsts = [(wrong, right.split(",")[0].strip()) for wrong, right in pairs]
    return [(wrong, right) for wrong, right in firsts if right.isalpha() and len(right) > 3]


def ours(pairs: Sequence[Pair], seed: int = 0) -> list[Pair]:
    """Our misspellings of the same words."""
    rng = Random(seed)
    return [(misspell_word(right, rng), right) for _, right in pairs]


def print_tables(named: dict[str, Sequence[Pair]]) -> None:
    """One column for each set of misspellings."""
    tables = {name: table_of(pairs) for name, pairs in named.items()}
    print(f"{'':20}" + "".join(f"{name:>14}" for name in tables))
    print(f"{'misspellings':20}" + "".join(f"{len(pairs):>14}" for pairs in named.values()))
    for row in (*KINDS, *TRAITS):
        print(f"{row:20}" + "".join(f"{table[row]:>14.3f}" for table in tables.values()))
