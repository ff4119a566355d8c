"""Long runs of words that a text shares with other texts.

Every run of `length` units of the other texts is kept as a 64-bit hash, sorted; a text's own runs
are looked up in it and then compared unit by unit, so that a hash alone never counts. Units are
words, or token ids: anything that can be a key.

Legend: U units of all texts in a row, G runs of `length` units.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import UsageError

Ids = NDArray[np.int64]
_NEW = -1
"""A unit that none of the texts has."""
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that no bit of an earlier unit is lost; the golden ratio's bits, as Knuth multiplies."""


@dataclass(frozen=True, slots=True)
class Run:
    """The longest run that a text shares with one of the others.

    Attributes:
        length: in units; 0 where none is as long as asked for.
        start: its place in the text.
        source: the number of the text that it is shared with.
    """

    length: int = 0
    start: int = 0
    source: int = 0


class SharedRuns:
    """Finds what a text shares with others.

    Args:
        others: each a sequence of words or of token ids.
        length: the shortest run that counts, in units.

    Raises:
        UsageError: the length is no run.
    """

    def __init__(self, others: Sequence[Sequence[Hashable]], length: int) -> None:
        if length < 1:
            raise UsageError(f"a shared run of {length} units is none", "use 1 or more")
        self.length = length
        self._ids: dict[Hashable, int] = {}
        # Of equal texts the first is enough, and a template cannot make the search slow.
        firsts: dict[tuple[Hashable, ...], int] = {}
        for number, units in enumerate(others):
            firsts.setdefault(tuple(units), number)
        self._sources = np.array(list(firsts.values()), np.int64)
        rows = [self._learn(units) for units in firsts]
        self._units = np.concatenate([*rows, np.empty(0, np.int64)])
        ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
        self._ends = ends
        self._is_first = np.zeros(len(self._units) + 1, np.bool_)
        self._is_first[ends] = True
        hashes = _hashes(self._units, length)
        places = np.arange(len(hashes), dtype=np.int64)
        # A run lies within one text.
        inside = places + length <= ends[np.searchsorted(ends, places, side="right")]
        hashes, places = hashes[inside], places[inside]
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._places = hashes[order], places[order]

    def _learn(self, units: Sequence[Hashable]) -> Ids:
        known = self._ids
        return np.fromiter(
            (known.setdefault(unit, len(known)) for unit in units), np.int64, len(units)
        )

    def may_share(self, units: Sequence[Hashable]) -> bool:
        """Whether a run of these units may be shared; False is certain, and cheap to say."""
        ids = np.fromiter((self._ids.get(unit, _NEW) for unit in units), np.int64, len(units))
        hashes = _hashes(ids, self.length)
        if not len(self._hashes) or not len(hashes):
            return False
        at = np.searchsorted(self._hashes, hashes)
        return bool((self._hashes[np.minimum(at, len(self._hashes) - 1)] == hashes).any())

    def longest(self, units: Sequence[Hashable]) -> Run:
        """The longest run that these units share with one of the others.

        Args:
            units: of the text.

        Returns:
            Length 0 where no run of `length` units is shared.
        """
        ids = np.fromiter((self._ids.get(unit, _NEW) for unit in units), np.int64, len(units))
        best = Run()
        before, runs = np.empty(0, np.int64), np.empty(0, np.int64)
        for start in range(len(ids) - self.length + 1):
            places = self._places_of(ids[start : start + self.length])
            # A place that follows on one of the last step makes its run one longer, but for the
            # first place of a text.
            at = np.searchsorted(before, places - 1)
            follows = (at < len(before)) & ~self._is_first[places]
            follows[follows] = before[at[follows]] == places[follows] - 1
            grown = np.full(len(places), self.length, np.int64)
            grown[follows] = runs[at[follows]] + 1
            before, runs = places, grown
            if len(runs) and runs.max() > best.length:
                longest = int(runs.argmax())
                best = self._run(int(runs[longest]), start, int(places[longest]))
        return best

    def _run(self, length: int, start: int, place: int) -> Run:
        text = int(np.searchsorted(self._ends, place, side="right"))
        return Run(length, start + self.length - length, int(self._sources[text]))

    def _places_of(self, ids: Ids) -> Ids:
        """Where the others have exactly these units, in rising order."""
        if (ids == _NEW).any():
            return np.empty(0, np.int64)
        own = _hashes(ids, self.length)[0]
        first, last = (
            np.searchsorted(self._hashes, own),
            np.searchsorted(self._hashes, own, "right"),
        )
        places = self._places[first:last]
        windows = self._units[places[:, None] + np.arange(self.length)]
        return np.sort(places[(windows == ids).all(axis=1)])


def _hashes(ids: Ids, length: int) -> NDArray[np.uint64]:
    """(G,) one for each run of `length` units."""
    count = len(ids) - length + 1
    if count <= 0:
        return np.empty(0, np.uint64)
    scrambled = _scramble(ids.astype(np.uint64))
    found = np.zeros(count, np.uint64)
    for offset in range(length):
        found = found * _FACTOR + scrambled[offset : offset + count]
    return found


def _scramble(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64: small numbers to 64 bits that look like drawn ones (Steele et al. 2014)."""
    mixed = (values + np.uint64(1)) * _FACTOR
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
