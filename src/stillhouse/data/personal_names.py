"""Names of people in a text, by the words before them; honest about it: others are not found.

English and German cues: a form of address ("Mrs"), "my name is", a greeting or a close of a letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_PART = r"(?:[^\W\d_a-zß-öø-ÿ][\w’'-]{0,30}\w|[A-Z]\.)"
_PARTICLE = r"(?:van|von|de|del|della|der|den|di|da|du|le|la|bin|al|el|zu|ter)"
_ON_A_LINE = rf"(?:{_PART}(?:[ ](?:{_PARTICLE}[ ]){{0,2}}{_PART}){{0,3}})"

_CUES = (
    # Mr. Okafor; Dr Ines Vogt; Frau Dr. Vogt
    re.compile(
        rf"\b(?:Mr|Mrs|Ms|Mx|Miss|Dr|Prof|Herrn?|Frau|Fräulein)\b\.?[ ]"
        rf"(?:(?:Dr|Prof)\.[ ]){{0,2}}({_ON_A_LINE})"
    ),
    re.compile(
        rf"(?i:\b(?:my\s+(?:full\s+)?name\s+is|my\s+name['’]s|i\s+am\s+called|"
        rf"signed\s+by|mein\s+name\s+ist|ich\s+hei(?:ß|ss)e|man\s+nennt\s+mich|"
        rf"name\s*:|contact\s*:|kontakt\s*:|ansprechpartner(?:in)?\s*:)\s+)({_ON_A_LINE})"
    ),
    # Dear Ines,  Hallo Tunde!
    re.compile(
        rf"(?m:^[ \t]*(?i:dear|hello|hi|hey|liebe[r]?|hallo|sehr\s+geehrte[r]?)[ ])({_ON_A_LINE})"
        rf"(?=[ ]?[,!])"
    ),
    # Kind regards,\nTunde Okafor
    re.compile(
        rf"(?m:^[ \t]*(?i:(?:(?:kind|best|warm)[ ])?regards|yours\s+(?:sincerely|truly|faithfully)|"
        rf"sincerely|cheers|(?:mit\s+)?(?:freundlichen|besten|lieben|herzlichen)\s+grü(?:ß|ss)en|"
        rf"(?:viele|liebe|beste|herzliche)\s+grü(?:ß|ss)e)[,.]?[ \t]*\n[ \t]*)({_ON_A_LINE})"
        rf"(?=[ \t]*(?:\n|$))"
    ),
)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_NO_NAME = _set(
    "A All An And Another But Chair Chairman Chairwoman Congressman Damen Day Director Do "
    "Doktor Doktorin Editor Every Everybody Everyone Father Folks Freunde Friday Friend "
    "Friends God Gott Guys He Heaven Here Herr Herren Hiring How I If It Jesus Judge Leute "
    "Lord Madam Man Minister Monday Mother My No Nobody Not Now Officer One Our President "
    "Professor Professorin Präsident Präsidentin Richter Right Satan Saturday Secretary "
    "Senator She Sir So Speaker Sunday Team That The There They This Thursday Today Tomorrow "
    "Tuesday We Wednesday Welt What When Where Who Why World Yes You Your Zusammen"
)
"""First words behind a cue that begin no name of a person."""


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Where names stand.

    Args:
        text: any text.

    Yields:
        (start, end) of each, the cue left out; two cues may yield one name twice.
    """
    for cue in _CUES:
        for found in cue.finditer(text):
            first = found[1].split()[0]
            if first.rstrip(".") not in _NO_NAME and not _is_shouted(first):
                yield found.start(1), found.end(1)


def _is_shouted(word: str) -> bool:
    return len(word) > 2 and word.isupper()
