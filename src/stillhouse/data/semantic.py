"""The step that keeps one of the rows that mean the same.

Rows are met in the order of their ids. One that means the same as one that is kept is merged into
it, the nearest of them; so every merged row lies near the one that stands for it, and no chain of
small steps leads from one meaning to another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.rows import Keep, Merge, Outcome, Row
from stillhouse.data.meaning import Claims, claims_of
from stillhouse.data.neighbours import MakeVectors, Vectors, dense
from stillhouse.data.tfidf import tfidf
from stillhouse.recipes.meaning_steps import MergeSemanticDuplicates

_BLOCK = 1024
"""Texts that are compared at once with as many that are kept: 4 MB of cosines."""

_ROUNDING = 1e-6
"""A vector's cosine with itself may lack that much of 1."""

Looked = dict[str, str]
"""Row id to text."""


@dataclass(frozen=True, slots=True)
class SameMeaning:
    """A row that another stands for.

    Attributes:
        kept: the id of the other.
        cosine: of their vectors.
    """

    kept: str
    cosine: float


def texts_of(batch: Sequence[Row], field: str) -> Looked:
    """The texts of the rows that have one.

    Args:
        batch: rows.
        field: which holds the text.

    Returns:
        By the ids of the rows.
    """
    texts = {row.row_id: row.fields.get(field) for row in batch}
    return {name: text for name, text in texts.items() if isinstance(text, str) and text.strip()}


@dataclass(frozen=True, slots=True)
class MergeSemanticStep:
    """Merges rows into the one that is kept of those that mean the same.

    Attributes:
        wanted: the recipe's settings.
        vectors: of texts; by pieces of words where no model is given.
    """

    wanted: MergeSemanticDuplicates
    vectors: MakeVectors = tfidf
    name: str = "merge_semantic_duplicates"
    version: int = 1
    kind: str = "global"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep one row of each meaning."""
        return self.settle(batch, self.decide([self.look(batch)]))

    def look(self, batch: Sequence[Row]) -> Looked:
        """The texts of the rows that have the field."""
        return texts_of(batch, self.wanted.on)

    def decide(self, looks: Sequence[Looked]) -> dict[str, SameMeaning]:
        """Which rows another stands for."""
        texts = {name: text for look in looks for name, text in look.items()}
        distinct = sorted(set(texts.values()))
        vectors = self.vectors(distinct)
        place = {text: number for number, text in enumerate(distinct)}
        kinds: dict[Claims, list[str]] = {}
        for name in sorted(texts):
            kinds.setdefault(claims_of(texts[name]), []).append(name)
        found: dict[str, SameMeaning] = {}
        for names in kinds.values():
            places = np.array([place[texts[name]] for name in names], np.int64)
            for one, kept, cosine in find_same(vectors, places, self.wanted.threshold):
                found[names[one]] = SameMeaning(names[kept], cosine)
        return found

    def settle(self, batch: Sequence[Row], decision: Mapping[str, SameMeaning]) -> list[Outcome]:
        """Keep every row that no other stands for."""
        made_by = "tfidf vectors" if self.wanted.encoder is None else "embeddings"
        found = [(row, decision.get(row.row_id)) for row in batch]
        return [
            Merge(row, same.kept, f"cosine {same.cosine:.3f} of {made_by}") if same else Keep(row)
            for row, same in found
        ]


def find_same(
    vectors: Vectors, places: NDArray[np.int64], threshold: float
) -> list[tuple[int, int, float]]:
    """Which of some texts mean the same as one before them.

    Args:
        vectors: of all texts.
        places: (N,) where the vectors of these lie, in the order in which they are met.
        threshold: cosine from which two mean the same.

    Returns:
        (number of the text, number of the kept one that stands for it, their cosine).
    """
    least = threshold - _ROUNDING
    found: list[tuple[int, int, float]] = []
    pool: list[tuple[NDArray[np.int64], Vectors]] = []
    for start in range(0, len(places), _BLOCK):
        block = vectors[places[start : start + _BLOCK]]
        nearest, cosines = _nearest_of(block, pool)
        among = dense(block @ block.T)
        own: list[int] = []
        for number in range(len(among)):
            into, best = int(nearest[number]), float(cosines[number])
            if own and among[number, own].max() > best:
                at = own[int(among[number, own].argmax())]
                into, best = start + at, float(among[number, at])
            if best >= least:
                found.append((start + number, into, min(1.0, best)))
            else:
                own.append(number)
        pool.append((start + np.array(own, np.int64), block[own]))
    return found


def _nearest_of(
    block: Vectors, pool: Sequence[tuple[NDArray[np.int64], Vectors]]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The nearest of the kept to each of a block, by its number, with the cosine."""
    number = block.shape[0]
    best = np.zeros(number, np.int64)
    cosines = np.full(number, -2.0, np.float32)
    for numbers, kept in pool:
        if len(numbers):
            these = dense(block @ kept.T)
            at = these.argmax(axis=1)
            value = these[np.arange(number), at]
            better = value > cosines
            best[better], cosines[better] = numbers[at[better]], value[better]
    return best, cosines
