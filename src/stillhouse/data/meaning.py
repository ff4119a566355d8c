"""What two texts must have in common to mean the same, however alike their words are."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = re.compile(r"(?<!\w)\d+(?:[.,]\d+)*(?!\w)")
_NEGATION = re.compile(r"\b(?:no|not|never|none|neither|nor|cannot|\w+n['’]?t)\b", re.IGNORECASE)
_WITHOUT_APOSTROPHE = re.compile(
    r"(?:ai|are|ca|could|did|does|do|had|has|have|is|might|must|need|sha|should|was|were|wo|would)nt",
    re.IGNORECASE,
)
"""`dont` denies, `want` and `important` do not."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Words that a copy of a text must not lose.

    Attributes:
        numbers: ascending as texts, thousands' commas left out.
        denies: an odd number of denials stands in it.
    """

    numbers: tuple[str, ...]
    denies: bool


def claims_of(text: str) -> Claims:
    """The numbers of a text, and whether it denies: `5 % of $1,000` and `6 % of $1,000` differ.

    Args:
        text: any; denials are known in English.

    Returns:
        Equal for texts that may mean the same.
    """
    numbers = sorted(number.replace(",", "") for number in _NUMBER.findall(text))
    denials = sum(_denies(word) for word in _NEGATION.findall(text))
    return Claims(tuple(numbers), denials % 2 == 1)


def _denies(word: str) -> bool:
    return not word.lower().endswith("nt") or bool(_WITHOUT_APOSTROPHE.fullmatch(word))
