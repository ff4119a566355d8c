"""One contradiction of a recipe, as it is told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One contradiction.

    Attributes:
        key: the dotted key that people would change.
        text: what it contradicts, and what to do.
    """

    key: str
    text: str
