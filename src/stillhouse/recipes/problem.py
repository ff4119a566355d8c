"""One thing of a recipe that cannot hold beside another."""

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
