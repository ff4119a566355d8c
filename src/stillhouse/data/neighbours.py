"""Which texts lie nearest to which, by the cosines of their vectors, a block of rows at a time.

Exact: every pair is compared. Memory is that of one block of cosines, whatever the number of texts.

Legend: N texts, H dimensions, K neighbours, B texts of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, issparse
from scipy.sparse.csgraph import connected_components

Vectors = NDArray[np.float32] | csr_array
"""(N, H), each of length 1, or of zeros for a text that says nothing."""

MakeVectors = Callable[[Sequence[str]], Vectors]
"""Texts to their vectors."""

_BLOCK_COSINES = 1 << 24
"""assumption: 64 MiB of cosines at once."""
_APART = -2.0
"""Below every cosine: no neighbour."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The nearest of each text.

    Attributes:
        places: (N, K) nearest first.
        cosines: (N, K) theirs; below -1 where a text has fewer neighbours.
    """

    places: NDArray[np.int64]
    cosines: NDArray[np.float32]

    @property
    def is_there(self) -> NDArray[np.bool_]:
        """(N, K) whether a text has that neighbour."""
        there: NDArray[np.bool_] = self.cosines > (_APART - 1) / 2
        return there

    @property
    def distances(self) -> NDArray[np.float64]:
        """(N,) mean cosine distance to the neighbours; 0 for a text that has none."""
        known = self.is_there
        total = np.where(known, 1.0 - self.cosines, 0.0).sum(axis=1)
        distances: NDArray[np.float64] = total / np.maximum(1, known.sum(axis=1))
        return distances


def nearest(vectors: Vectors, count: int, groups: NDArray[np.int64] | None = None) -> Neighbours:
    """The nearest other texts of each text.

    Args:
        vectors: (N, H).
        count: neighbours of each, where there are as many.
        groups: (N,) texts of one group are no neighbours of each other; none are grouped without.

    Returns:
        For all texts.
    """
    number = vectors.shape[0]
    kept = max(0, min(count, number - 1))
    places = np.zeros((number, kept), np.int64)
    cosines = np.full((number, kept), _APART, np.float32)
    for start, block_BN in cosine_blocks(vectors):
        own = slice(start, start + len(block_BN))
        block_BN[np.arange(len(block_BN)), np.arange(own.start, own.stop)] = _APART
        if groups is not None:
            block_BN[groups[own, None] == groups[None, :]] = _APART
        if kept:
            found = np.argpartition(-block_BN, kept - 1, axis=1)[:, :kept]
            values = np.take_along_axis(block_BN, found, axis=1)
            order = np.argsort(-values, axis=1, kind="stable")
            places[own] = np.take_along_axis(found, order, axis=1)
            cosines[own] = np.take_along_axis(values, order, axis=1)
    return Neighbours(places, cosines)


def cosine_blocks(vectors: Vectors) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The cosines of all texts with all, as the first text of each block with its (B, N)."""
    number = vectors.shape[0]
    size = max(1, _BLOCK_COSINES // max(1, number))
    across = vectors.T.tocsr() if issparse(vectors) else vectors.T
    for start in range(0, number, size):
        yield start, dense(vectors[start : start + size] @ across)


def dense(product: object) -> NDArray[np.float32]:
    """A product as an ordinary array."""
    made: NDArray[np.float32] = product.toarray() if issparse(product) else product  # type: ignore[attr-defined,assignment]
    return made


def clusters_of(found: Neighbours, alike: float) -> NDArray[np.int64]:
    """(N,) the cluster of each text: neighbours of at least that cosine are in one.

    Args:
        found: of the texts.
        alike: in (0, 1].

    Returns:
        Numbers from 0; a text without such a neighbour is a cluster of its own.
    """
    number, count = found.places.shape
    near = (found.cosines >= alike).ravel()
    rows = np.repeat(np.arange(number), count)[near]
    pairs = (np.ones(len(rows), np.int8), (rows, found.places.ravel()[near]))
    graph = coo_array(pairs, shape=(number, number))
    return connected_components(graph, directed=False)[1].astype(np.int64)
