"""Blanks to be filled in a text, and the question that asks for what stands there.

The question is made by rule: every other word stays, the blank becomes a question word, and the
sentence that held it comes last. An engine may write a smoother one; this is what it is held to.
"""

from __future__ import annotations

import re

# Three underscores are a blank, two also unless a letter stands beside them (`__init__` is a name),
# one alone between spaces or before punctuation. So are dots and dashes in such a place, and named
# blanks. A dollar opens a formula by pandoc's rule, so that `$5 and __ is $6` holds none.
_BLANK = re.compile(
    r"(?P<formula>\$\$.{1,500}?\$\$|\$(?=\S)[^$\n]{0,500}?(?<=[^\s$])\$(?!\d)|\\\(.{1,500}?\\\)|\\\[.{1,500}?\\\])"
    r"|_{3,}|(?<!\w)__(?!\w)"
    r"|(?<!\S)_(?=[\s.,;:!?)'-]|$)"
    r"|(?<!\S)(?:\.{4,}|…{2,}|-{4,}|–{3,}|—{2,})(?=[\s.,;:!?)]|$)"
    r"|[\[(<](?:blank|mask)[\])>]",
    re.IGNORECASE | re.DOTALL,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[A-Z0-9_])|\n+")
_ENDS = ".!?;:, \t\n"
_NUMBER = re.compile(r"[-+]?[$€£]?\s?\d[\d.,]*\s?%?")
_YEAR = re.compile(r"(?:1\d|20)\d\d")


def find_blanks(text: str) -> list[tuple[int, int]]:
    """Where blanks stand in a text, as (start, end); never inside a formula."""
    return [match.span() for match in _BLANK.finditer(text) if match["formula"] is None]


def ask_for_blanks(text: str, answer: str = "") -> str | None:
    """A question that asks for what stands in the blanks of a text.

    Args:
        text: with one blank or several.
        answer: what fills them, which chooses the question word; empty where it is not known.

    Returns:
        The question: no blank, every other word of the text, a question mark at its end. None
        where the text has no blank.
    """
    if not find_blanks(text):
        return None
    sentences = _sentences(text)
    asking = [sentence for sentence in sentences if find_blanks(sentence)]
    telling = [sentence for sentence in sentences if not find_blanks(sentence)]
    word = _question_word(answer)
    asked = [_fill(sentence, word) for sentence in asking]
    questions = " ".join(f"{one.rstrip(_ENDS)}?" for one in asked)
    return " ".join([*telling, questions])


def _sentences(text: str) -> list[str]:
    pieces, start = [], 0
    for match in _SENTENCE_END.finditer(text):
        pieces.append(text[start : match.start()])
        start = match.end()
    return [piece.strip() for piece in [*pieces, text[start:]] if piece.strip()]


def _fill(sentence: str, word: str) -> str:
    filled, start = [], 0
    for left, right in find_blanks(sentence):
        filled.append(sentence[start:left])
        # A blank may touch a word, as in `un____able`.
        joint = " " if left and sentence[left - 1].isalnum() else ""
        after = " " if right < len(sentence) and sentence[right].isalnum() else ""
        filled.append(f"{joint}{word}{after}")
        start = right
    whole = "".join([*filled, sentence[start:]]).strip()
    return whole[:1].upper() + whole[1:] if whole.startswith(word) else whole


def _question_word(answer: str) -> str:
    answer = answer.strip()
    if _YEAR.fullmatch(answer):
        return "which year"
    return "which number" if _NUMBER.fullmatch(answer) else "what"
