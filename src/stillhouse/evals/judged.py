"""What was said of one item on a scale from 0 to 100, ready to be compared."""

from __future__ import annotations

from dataclasses import dataclass

HIGH, LOW = 95.0, 80.0
"""From `HIGH` on a score says that an item is of the class, below `LOW` that it is not."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One judgement, of a candidate or of an expert.

    Attributes:
        score: from 0 to 100; None where none could be read.
        verdict: a word; empty where none could be read.
        themes: names that mean the same in all judgements.
        passages: chapters that were named, as OSIS ids such as `John.3`.
        is_supported: whether all that was named exists and says what is quoted from it.
    """

    score: float | None
    verdict: str = ""
    themes: frozenset[str] = frozenset()
    passages: frozenset[str] = frozenset()
    is_supported: bool = True
