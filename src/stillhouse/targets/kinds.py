"""Kinds of positions: after some words come nouns, after others verbs; each kind has its own ids.

Each position is of the kind under whose frequencies its entries are the shortest; each kind's
frequencies are those of its positions. A few rounds of both, on a part of the shard.

Legend: P answer tokens of one example, W widest row of entries, C kinds, U ids that occur.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

MOST_KINDS = 32
"""measured: 64 cost what they gain at 13,000 positions."""
_ENTRIES_A_KIND = 8000
"""measured: 4,000 and 16,000 are 1 % larger at 200,000 entries."""
_ROUNDS = 10
_PRIOR = 500.0
"""Entries that the whole shard lends to each kind, so that no id is impossible in it."""
_MOST_SAMPLED = 200_000
"""Entries of the part that is looked at round after round."""


def find_kinds(entries: Sequence[Ints], vocab_size: int) -> list[Ints]:
    """The kind of each position of a shard.

    Args:
        entries: for each example (P, W) ids of its positions' entries, -1 in unused places.
        vocab_size: of the teacher.

    Returns:
        For each example (P,) kinds from 1 on; all 0 where a shard is too small to have any.
    """
    counts = np.zeros(vocab_size + 1, np.int64)
    for ids in entries:
        counts += np.bincount(ids.ravel() + 1, minlength=vocab_size + 1)
    counts[0] = 0
    num_kinds = min(MOST_KINDS, int(counts.sum()) // _ENTRIES_A_KIND)
    if num_kinds < 2:
        return [np.zeros(len(ids), np.int64) for ids in entries]
    used = np.flatnonzero(counts)
    columns = np.full(vocab_size + 1, len(used), np.int64)  # the last column is no id
    columns[used] = np.arange(len(used))
    step = max(1, int(counts.sum()) // _MOST_SAMPLED)
    sample = [columns[ids[at % step :: step] + 1] for at, ids in enumerate(entries)]
    share = counts[used] / counts.sum()
    start = np.random.default_rng(0).random((len(used), num_kinds))
    bits = _bits(start * share[:, None] * counts.sum(), share)
    for _ in range(_ROUNDS):
        bits = _bits(_counted(sample, [_cheapest(rows, bits) for rows in sample], bits), share)
    return [1 + _cheapest(columns[ids + 1], bits) for ids in entries]


def _bits(counts: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float32]:
    """(U + 1, C) what each id costs in each kind; nothing in the last row."""
    lent = counts + _PRIOR * share[:, None]
    found = -np.log2(lent / lent.sum(axis=0))
    return np.concatenate([found, np.zeros((1, found.shape[1]))]).astype(np.float32)


def _cheapest(columns: Ints, bits: NDArray[np.float32]) -> Ints:
    return np.asarray(bits[columns].sum(axis=1).argmin(axis=1), dtype=np.int64)


def _counted(
    sample: Sequence[Ints], kinds: Sequence[Ints], bits: NDArray[np.float32]
) -> NDArray[np.float64]:
    """(U, C) how often each id stands in each kind."""
    num_columns, num_kinds = bits.shape
    cells = [
        (ids * num_kinds + kind[:, None]).ravel() for ids, kind in zip(sample, kinds, strict=True)
    ]
    counts = np.bincount(np.concatenate(cells), minlength=num_columns * num_kinds)
    return counts.reshape(num_columns, num_kinds)[:-1].astype(np.float64)
