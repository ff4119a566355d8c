"""How the tokens drawn at a position are coded: counts first, most drawn first, then the ids.

Counts fall and sum to the number of draws, so that nothing more is said once a count is 1. Ids
of equal counts have no order, and cost none.

Legend: P answer tokens of one example, S distinct drawn tokens of the widest position.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stillhouse.targets.entropy import Coder, IdPlaces
from stillhouse.targets.kept import DRAWN, members_left, two_parts
from stillhouse.targets.rows import Rows

Ints = NDArray[np.int64]

_CAPS = np.array([3, 4, 5, 6, 8, 10, 13, 17, 23, 32, 45, 64, 128, 256])
"""Largest possible counts from which on a count has a context of its own."""
_COUNTS = np.array([1, 2, 3, 5, 9, 17])
"""Counts from which on a drawn id has a context of its own."""


def walk_drawn(coder: Coder, num_draws: int, kinds: Ints, rows: Rows | None) -> tuple[Ints, Ints]:
    """Counts and ids of the drawn tokens.

    Args:
        coder: counts, encodes or decodes.
        num_draws: a position; 0 for none.
        kinds: (P,) of the positions.
        rows: the numbers; None when decoding.

    Returns:
        (P, S) counts and (P, S) ids, as `Rows` has them.
    """
    num_tokens = len(kinds)
    if num_draws == 0:
        nothing = np.zeros((num_tokens, 0), np.int64)
        return nothing, nothing
    counts = _counts(coder, num_draws, num_tokens, None if rows is None else rows.counts)
    is_used = counts > 0
    left = members_left(counts)
    contexts = DRAWN - 1 + count_context(counts)
    wide = np.broadcast_to(kinds[:, None], counts.shape)
    ids = np.zeros_like(counts)
    for part in two_parts(num_tokens):
        used = is_used[part]
        places = IdPlaces(contexts[part][used], wide[part][used], left[part][used])
        ids[part][used] = coder.ids(places, None if rows is None else rows.drawn[part][used])
    return counts, ids


def count_context(counts: Ints) -> Ints:
    """Counts as contexts, 0 for none; below 7."""
    return np.asarray(np.searchsorted(_COUNTS, counts, side="right"), dtype=np.int64)


def _counts(coder: Coder, num_draws: int, num_tokens: int, given: Ints | None) -> Ints:
    """Column after column, as long as a count above 1 is possible."""
    zeros = np.zeros(num_tokens, np.int64)
    has_some = None if given is None else (given.sum(axis=1) > 0).astype(np.int64)
    has_some = coder.numbers("draws", zeros, has_some)
    if has_some.max(initial=0) > 1:
        raise ValueError("a position has more draws than the header says")
    left = num_draws * has_some
    caps = left.copy()
    columns: list[Ints] = []
    while len(rows := np.flatnonzero(caps > 1)):
        contexts = 2 * np.searchsorted(_CAPS, caps[rows], side="right")
        contexts += left[rows] > 2 * caps[rows]
        wanted = None if given is None else given[rows, len(columns)]
        column = zeros.copy()
        column[rows] = coder.numbers("count", contexts, wanted)
        if (column > caps).any():
            raise ValueError("a token was drawn more often than is possible")
        columns.append(column)
        left = left - column
        caps = np.minimum(np.where(caps > 1, column, caps), left)
    return _with_ones(columns, left)


def _with_ones(columns: list[Ints], left: Ints) -> Ints:
    """(P, S) the columns without gaps, and a 1 for each draw that is left."""
    heads = np.stack(columns, axis=1) if columns else np.zeros((len(left), 0), np.int64)
    sizes = (heads > 0).sum(axis=1)
    places = np.arange(int((sizes + left).max(initial=0)))
    is_one = (places >= sizes[:, None]) & (places < (sizes + left)[:, None])
    counts = np.asarray(is_one, dtype=np.int64)
    width = min(heads.shape[1], counts.shape[1])
    counts[:, :width] += heads[:, :width]
    return counts
