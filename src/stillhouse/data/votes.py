"""How many people chose each class, read off one column of a row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from stillhouse.core.errors import InputError

Votes = Mapping[str, float]
"""Class to votes, or to a share of them; > 0 in all."""

_MOST = 1e15
"""More people than there are; every whole number below is one as a float too."""


def votes_of(value: Any, where: str) -> Votes | None:
    """The votes that a column holds.

    Args:
        value: a mapping of classes to counts or shares, a list with each person's choice, or the
            JSON text of either.
        where: the row, for the message.

    Returns:
        Class to votes; None where nobody voted.

    Raises:
        InputError: it is neither.
    """
    read = _parsed(value)
    if isinstance(read, list) and all(isinstance(choice, str) for choice in read):
        read = dict(Counter(read))
    if read is None or read in ({}, ""):
        return None
    if not isinstance(read, dict) or not all(map(_is_count, read.values())):
        raise InputError(
            f"{where}: {str(value)[:80]!r} holds no votes",
            'prepare.votes is read as {"yes": 3, "no": 1}, or as ["yes", "yes", "no", "yes"]',
        )
    votes = {str(name): float(count) for name, count in read.items()}
    return votes if sum(votes.values()) > 0 else None


def _parsed(value: Any) -> Any:
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _is_count(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= _MOST
