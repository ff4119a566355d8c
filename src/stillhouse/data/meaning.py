"""What two texts must have in common to mean the same, however alike their words are."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = re.compile(r"(?<!\w)\d+(?:[.,]\d+)*(?!\w)")
# `amount` and `account` end like `isnt`, so that without its apostrophe a denial is known by name.
_NEGATION = re.compile(
    r"\b(?:no|not|never|none|neither|nor|cannot|\w+n['’]t|"
    r"(?:is|are|was|were|do|does|did|has|have|had|would|could|should|must|wo|ca|ai)nt)\b",
    re.IGNORECASE,
)


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
    return Claims(tuple(numbers), len(_NEGATION.findall(text)) % 2 == 1)
