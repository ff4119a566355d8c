"""Texts that say nearly the same, by the word groups that they share.

A text is the set of its word groups (shingles). MinHash sketches of the sets are cut into bands;
texts that agree in a whole band are candidates, and only those whose sets really overlap enough
are duplicates (Broder 1997; Leskovec et al., Mining of Massive Datasets, 2014, section 3.4).

Legend: N texts, F word groups of all texts in a row, B bands, K numbers of a sketch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rensa import (  # type: ignore[import-untyped,unused-ignore]
    RMinHash,
    RMinHashDigestMatrix,
    RMinHashLSH,
)

from stillhouse.data.meaning import claims_of
from stillhouse.data.words import words_of

BANDS, BAND_ROWS = 32, 4
"""Two sets that share 0.8 of their groups agree in a band but for 5 pairs in a hundred million,
by 1 - (1 - 0.8**4)**32; 16 bands of 8 would lose 5 in a hundred."""

_SKETCHED_AT_ONCE = 8192
"""assumption: their sketches, as lists, take some tens of megabytes."""

_COMPARED_BEFORE = 32
"""assumption: in a band that many texts share, most are of one kind; each is compared with the last
32 before it, and with all others that it meets in other bands."""

_MET_IN_A_BAND, _COMPARED_EXACTLY = 256, 8
"""assumption: of texts that share 0.8 of their groups and so about 13 of 32 bands, one is among the
eight that share most."""

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Shingled:
    """Texts as sets.

    Attributes:
        names: (N,) of the texts.
        hashes: (F,) word groups, ascending and distinct within each text.
        ends: (N,) where each text's groups end.
        claims: (N,) equal for texts with the same numbers and denials; others never say the same.
    """

    names: tuple[str, ...]
    hashes: Hashes
    ends: NDArray[np.int64]
    claims: Hashes

    def of(self, place: int) -> Hashes:
        """The groups of one text."""
        start = self.ends[place - 1] if place else 0
        return self.hashes[start : self.ends[place]]


@dataclass(frozen=True, slots=True)
class Alike:
    """A text that another stands for.

    Attributes:
        kept: the name of the other.
        overlap: shared groups over all groups of the two, in [0, 1].
    """

    kept: str
    overlap: float


def shingle(names: Sequence[str], texts: Sequence[str], group_words: int) -> Shingled:
    """Texts as sets of their word groups.

    Args:
        names: one a text.
        texts: any; words as `data.words` cuts them.
        group_words: words of a group; a shorter text is one group.

    Returns:
        Small beside the texts.
    """
    groups = [_groups(text, group_words) for text in texts]
    sets = [np.sort(np.fromiter({*one}, np.uint64)) for one in RMinHash.hash_token_sets(groups)]
    return Shingled(
        tuple(names),
        np.concatenate([*sets, np.empty(0, np.uint64)]),
        np.cumsum([len(one) for one in sets], dtype=np.int64),
        np.array([_hash(repr(claims_of(text))) for text in texts], np.uint64),
    )


def _groups(text: str, group_words: int) -> list[str]:
    # Half of a surrogate pair, which nothing can hash, is its escape.
    words = words_of(text) or [text.strip().encode("utf-8", "backslashreplace").decode()]
    length = min(group_words, len(words))
    return list(map(" ".join, zip(*(words[start:] for start in range(length)), strict=False)))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def join(parts: Sequence[Shingled]) -> Shingled:
    """Several lots of texts as one, in their order."""
    starts = np.cumsum([0, *(len(part.hashes) for part in parts)])
    ends = [part.ends + start for part, start in zip(parts, starts, strict=False)]
    return Shingled(
        tuple(name for part in parts for name in part.names),
        np.concatenate([*(part.hashes for part in parts), np.empty(0, np.uint64)]),
        np.concatenate([*ends, np.empty(0, np.int64)]),
        np.concatenate([*(part.claims for part in parts), np.empty(0, np.uint64)]),
    )


def find_alike(texts: Shingled, threshold: float) -> dict[str, Alike]:
    """The texts that another stands for.

    Args:
        texts: of which the one with the smallest name of its kind is kept.
        threshold: overlap from which two texts say the same, in (0, 1].

    Returns:
        Name to the kept one. Chains count: a text may be alike to one that is alike to the kept.
    """
    leader: dict[int, int] = {}
    overlap: dict[int, float] = {}

    def lead(place: int) -> int:
        while leader.setdefault(place, place) != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    for one, other in _same_or_near(texts):
        first, second = sorted((lead(one), lead(other)), key=texts.names.__getitem__)
        if first == second:
            continue
        shared = overlap_of(texts.of(one), texts.of(other))
        if shared >= threshold:
            leader[second] = first
            for place in (one, other):
                overlap[place] = max(shared, overlap.get(place, 0.0))
    return {
        texts.names[place]: Alike(texts.names[lead(place)], overlap[place])
        for place in sorted(overlap)
        if lead(place) != place
    }


def find_near(
    texts: Shingled, wanted: NDArray[np.int64], others: NDArray[np.int64], threshold: float
) -> dict[int, int]:
    """Which texts say the same as one of the others.

    Args:
        texts: all of them.
        wanted: places of those that are asked about.
        others: places of those that they are held against.
        threshold: overlap from which two texts say the same, in (0, 1].

    Returns:
        Place to the place of one of the others.
    """
    if not len(wanted) or not len(others):
        return {}
    bands_NB = band_hashes(texts, np.arange(len(texts.names)))
    orders = np.argsort(bands_NB[others], axis=0, kind="stable")
    ordered = np.take_along_axis(bands_NB[others], orders, axis=0)
    first, last = (
        np.stack([np.searchsorted(ordered[:, band], bands_NB[wanted, band], side) for band in
                  range(BANDS)], axis=1)
        for side in ("left", "right")
    )  # fmt: skip
    found: dict[int, int] = {}
    for number in np.flatnonzero((first < last).any(axis=1)):
        place = int(wanted[number])
        met = np.concatenate([
            orders[start : min(end, start + _MET_IN_A_BAND), band]
            for band, (start, end) in enumerate(zip(first[number], last[number], strict=True))
        ])  # fmt: skip
        names, counts = np.unique(met, return_counts=True)
        # The more bands two texts agree in, the more groups they share.
        for likely in names[np.argsort(-counts, kind="stable")[:_COMPARED_EXACTLY]]:
            other = int(others[likely])
            if overlap_of(texts.of(place), texts.of(other)) >= threshold:
                found[place] = other
                break
    return found


def overlap_of(one: Hashes, other: Hashes) -> float:
    """Shared groups over all groups of two texts, in [0, 1]."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


def _same_or_near(texts: Shingled) -> Iterator[tuple[int, int]]:
    """Pairs of places that may say the same, each once; equal sets meet their first one alone."""
    firsts: dict[tuple[int, bytes], int] = {}
    for place, claims in enumerate(texts.claims.tolist()):
        digest = hashlib.blake2b(texts.of(place).tobytes(), digest_size=16).digest()
        first = firsts.setdefault((claims, digest), place)
        if first != place:
            yield first, place
    different = np.array([*firsts.values()], np.int64)
    near = different[_shares_a_band(texts, different)]
    for one, other in _candidates(band_hashes(texts, near)):
        yield int(near[one]), int(near[other])


def _shares_a_band(texts: Shingled, places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each of some texts agrees in a band with another; claims are not looked at.

    Most agree with none, and their sketches never become numbers of Python.
    """
    if not len(places):
        return np.zeros(0, np.bool_)
    index = RMinHashLSH(threshold=0.5, num_perm=BANDS * BAND_ROWS, num_bands=BANDS)
    return np.array(index.query_duplicate_flags_matrix_one_shot(_sketches(texts, places)), np.bool_)


def _sketches(texts: Shingled, places: NDArray[np.int64]) -> RMinHashDigestMatrix:
    """The sketches of some texts."""
    sets = [texts.of(place) for place in places.tolist()]
    ends = np.cumsum([0, *map(len, sets)])
    return RMinHash.digest_matrix_from_flat_token_hashes(
        np.concatenate(sets), ends.astype(np.uint64), BANDS * BAND_ROWS, 0
    )


def _candidates(bands_NB: Hashes) -> Iterator[tuple[int, int]]:
    """Pairs of places that agree in a band, each once."""
    seen: set[tuple[int, int]] = set()
    for band_N in bands_NB.T:
        order = np.argsort(band_N, kind="stable")
        starts = np.flatnonzero(np.diff(band_N[order], prepend=band_N[order][:1] + 1))
        sizes = np.diff(starts, append=len(order))
        for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True):
            for pair in _pairs(order[start : start + size].tolist()):
                if pair not in seen:
                    seen.add(pair)
                    yield pair


def _pairs(bucket: Sequence[int]) -> Iterator[tuple[int, int]]:
    for number, place in enumerate(bucket):
        for before in bucket[max(0, number - _COMPARED_BEFORE) : number]:
            yield before, place


def band_hashes(texts: Shingled, places: NDArray[np.int64]) -> Hashes:
    """(N, B) one hash for each band of each of some texts, mixed with its claims."""
    found = np.empty((len(places), BANDS), np.uint64)
    for first in range(0, len(places), _SKETCHED_AT_ONCE):
        some = places[first : first + _SKETCHED_AT_ONCE]
        sketches_NK = np.array(_sketches(texts, some).to_rows(), np.uint64)
        mixed = np.repeat(texts.claims[some, None], BANDS, axis=1)
        for row in range(BAND_ROWS):
            mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + sketches_NK[:, row::BAND_ROWS]
        found[first : first + len(some)] = mixed
    return found
