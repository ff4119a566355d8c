"""Texts met one after the other: has one been here that says nearly the same?

As `near_duplicates.py` finds them in a whole, by the same word groups, bands and overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stillhouse.data.near_duplicates import Alike, Hashes, band_hashes, overlap_of, shingle

_FIRST = np.zeros(1, np.int64)


@dataclass(slots=True)
class NearIndex:
    """The texts so far.

    Attributes:
        threshold: shared word groups over all word groups from which two texts say the same.
        group_words: words of a group.
    """

    threshold: float
    group_words: int = 2
    _sets: dict[str, Hashes] = field(default_factory=dict)
    _bands: dict[tuple[int, int], list[str]] = field(default_factory=dict)

    def find(self, text: str) -> Alike | None:
        """The text so far that overlaps most, from the threshold on."""
        one = shingle(["?"], [text], self.group_words)
        own = one.of(0)
        met = {
            name
            for place in enumerate(band_hashes(one, _FIRST)[0].tolist())
            for name in self._bands.get(place, ())
        }
        shared = [(overlap_of(own, self._sets[name]), name) for name in sorted(met)]
        best = max(shared, default=(0.0, ""), key=lambda pair: pair[0])
        return Alike(best[1], best[0]) if best[0] >= self.threshold else None

    def add(self, name: str, text: str) -> None:
        """Remember a text under a name."""
        one = shingle([name], [text], self.group_words)
        self._sets[name] = np.array(one.of(0))
        for place in enumerate(band_hashes(one, _FIRST)[0].tolist()):
            self._bands.setdefault(place, []).append(name)
