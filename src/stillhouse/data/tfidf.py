"""Texts as counts of pieces of their words, weighed by how rare a piece is (TF-IDF).

It needs no model, and finds texts of the same words, not of the same meaning. Pieces of words
rather than words: a misspelling changes few of them, and scripts without spaces have them too.

Legend: N texts, P different pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array

from stillhouse.data.words import words_of

_PIECES = (3, 4)
"""Characters of a piece. measured: of 200 questions out of scope among 10,700, average precision is
0.23 with pieces, 0.21 with words, 0.15 with words and pairs of them."""


def tfidf(texts: Sequence[str]) -> csr_array:
    """(N, P) vectors of length 1; of a text without words all zeros.

    Args:
        texts: any; weights are of these texts alone.

    Returns:
        Sparse, float32.
    """
    columns: dict[str, int] = {}
    places = [[columns.setdefault(one, len(columns)) for one in _pieces(text)] for text in texts]
    rows = np.repeat(np.arange(len(texts)), [len(one) for one in places])
    flat = np.array([place for text in places for place in text], np.int64)
    shape = (len(texts), max(1, len(columns)))
    counts = coo_array((np.ones(len(flat)), (rows, flat)), shape=shape).tocsr()
    holding = np.bincount(counts.indices, minlength=shape[1])
    rarity = np.log((1 + len(texts)) / (1 + holding)) + 1
    counts.data = (1 + np.log(counts.data)) * rarity[counts.indices]
    lengths = np.sqrt(np.asarray(counts.power(2).sum(axis=1)))
    scales = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return csr_array((diags_array(scales) @ counts).astype(np.float32))


def _pieces(text: str) -> Iterator[str]:
    words = words_of(text)
    if words:
        joined = f" {' '.join(words)} "
        for length in _PIECES:
            for start in range(len(joined) - length + 1):
                yield joined[start : start + length]
