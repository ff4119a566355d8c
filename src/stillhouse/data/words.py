"""The words of a text, in scripts with spaces between words and in those without.

A text is folded first (compatibility forms, upper and lower case), so that words can be compared.
Chinese, Japanese, Thai, Lao, Khmer and Burmese put no spaces between words: there each character
counts as a word, with the marks that hang on it. Korean has spaces.
"""

from __future__ import annotations

import re
import unicodedata

_NO_SPACES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # the marks for a repeated character, and a zero
    (0x3040, 0x312F),  # Hiragana, Katakana, Bopomofo
    (0x31F0, 0x31FF),  # Katakana for Ainu
    (0x3400, 0x4DBF),  # Chinese characters, here and in the next three
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_JOINERS = (0x200C, 0x200D)
_APOSTROPHES = (0x27, 0x2019)
_WORD = re.compile("sm*|a[am]*(?:'a[am]*)*")


class _Kinds(dict[int, str]):
    """By code point: `a` part of a word, `s` a word alone, `m` hangs on the last, `'`, or blank."""

    def __missing__(self, code: int) -> str:
        kind = self[code] = _kind(code)
        return kind


def _kind(code: int) -> str:
    category = unicodedata.category(chr(code))
    if code in _APOSTROPHES:
        return "'"
    if category[0] == "M" or code in _JOINERS:
        return "m"
    if category[0] not in "LN":
        return " "
    return "s" if any(first <= code <= last for first, last in _NO_SPACES) else "a"


_KINDS = _Kinds()


def words_of(text: str) -> list[str]:
    """The words of a text in their order, folded.

    Args:
        text: any text; punctuation, symbols and emoji are no words.

    Returns:
        `["it's", "2", "猫"]` of "It's 2 猫!".
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    kinds = folded.translate(_KINDS)
    return [folded[found.start() : found.end()] for found in _WORD.finditer(kinds)]
