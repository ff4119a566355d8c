"""How the kept entries of a position are coded: levels first, then the ids.

Levels ascend, so that each stands between two others: the ends first, then the middle of each
interval, ever finer. What is left between two neighbours says nearly all about the level between
them. Ids of equal levels have no order, and cost none.

Legend: P answer tokens of one example, K kept teacher entries, V vocabulary.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stillhouse.targets.entropy import MAX_FREE, Coder, IdPlaces
from stillhouse.targets.quantise import FINE, NOTHING, to_logprobs
from stillhouse.targets.rows import Rows

Ints = NDArray[np.int64]

_LEVELS = np.arange(NOTHING + 1)
_NATS_BELOW = -to_logprobs(_LEVELS)
_LAST_FINE = 1900
"""The last level above 3 nats."""
COARSE_LEVELS = np.where(
    _LEVELS <= _LAST_FINE,
    16 * _LEVELS // round(1 / FINE),
    np.minimum(15.2 + 2.0 * (_NATS_BELOW - 3.0), 47).astype(np.int64),
)
"""Levels as contexts, below 48: in sixteenths of probability, then in half nats. Sixteenths are
whole at some levels, so that a rounding would decide; half nats are nowhere near it."""

_MOST_NATS = 11
_NATS = np.minimum(_NATS_BELOW, _MOST_NATS).astype(np.int64)
"""Levels as contexts of ids, in whole nats."""
NOT_KEPT = _MOST_NATS + 1
"""The context of a token's id that was observed but is no entry."""
DRAWN = NOT_KEPT + 1
"""The first context of drawn ids."""

_WIDTHS = [*range(1, 17), 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024, 2048]
_ROOMS = 2 * np.searchsorted(_WIDTHS, np.arange(NOTHING + 1), side="right")
"""What is left between two levels as contexts; even, so that the first interval has its own."""


def walk_kept(coder: Coder, top_k: int, kinds: Ints, rows: Rows | None) -> tuple[Ints, Ints]:
    """Levels and ids of the most likely entries.

    Args:
        coder: counts, encodes or decodes.
        top_k: K; may be 0.
        kinds: (P,) of the positions.
        rows: the numbers; None when decoding.

    Returns:
        (P, K) levels and (P, K) ids, as `Rows` has them.
    """
    if top_k == 0:
        nothing = np.zeros((len(kinds), 0), np.int64)
        return nothing, nothing
    levels = _levels(coder, top_k, len(kinds), None if rows is None else rows.levels)
    return levels, _ids(coder, levels, kinds, None if rows is None else rows.ids)


def walk_all(coder: Coder, vocab_size: int, kinds: Ints, rows: Rows | None) -> tuple[Ints, Ints]:
    """Levels and ids of a whole vocabulary: levels in the order of ids, each its own context.

    Args:
        coder: counts, encodes or decodes.
        vocab_size: V, which is K.
        kinds: (P,) of the positions.
        rows: the numbers; None when decoding.

    Returns:
        (P, V) levels and (P, V) ids, as `Rows` has them.
    """
    num_tokens = len(kinds)
    by_id = None
    if rows is not None:
        by_id = np.empty_like(rows.levels)
        np.put_along_axis(by_id, rows.ids, rows.levels, axis=1)
        by_id = by_id.ravel()
    contexts = np.tile(np.arange(vocab_size), num_tokens)
    found = coder.numbers("level", contexts, by_id).reshape(num_tokens, vocab_size)
    ids = np.argsort(found, axis=1, kind="stable")
    return np.take_along_axis(found, ids, axis=1), ids


def members_left(values: Ints) -> Ints:
    """Members of its run of equal values from each on, runs cut at `MAX_FREE`.

    Args:
        values: (P, K).

    Returns:
        (P, K), in [1, MAX_FREE].
    """
    is_last = np.ones(values.shape, bool)
    is_last[:, :-1] = values[:, :-1] != values[:, 1:]
    places = np.arange(values.size)
    ends = np.where(is_last.ravel(), places, values.size)
    left = (np.minimum.accumulate(ends[::-1])[::-1] - places) % MAX_FREE + 1
    return left.reshape(values.shape)


def two_parts(num_tokens: int) -> tuple[slice, slice]:
    """Positions in two parts: bits of the second, which is written first, order the first."""
    cut = num_tokens - num_tokens // 8
    return slice(0, cut), slice(cut, None)


def _levels(coder: Coder, top_k: int, num_tokens: int, given: Ints | None) -> Ints:
    columns = np.zeros((top_k, num_tokens), np.int64)
    wanted = np.zeros((top_k, 0), np.int64) if given is None else given.T
    is_given = given is not None
    zeros = np.zeros(num_tokens, np.int64)
    columns[0] = coder.numbers("first", zeros, wanted[0] if is_given else None)
    if top_k > 1:
        span = wanted[-1] - wanted[0] if is_given else None
        columns[-1] = columns[0] + coder.numbers("span", COARSE_LEVELS[columns[0]], span)
    lows, highs, depth = np.array([0]), np.array([top_k - 1]), 0
    while (is_open := highs - lows > 1).any():
        lows, highs = lows[is_open], highs[is_open]
        middles = (lows + highs) // 2
        contexts = _ROOMS[columns[highs] - columns[lows]] + (lows == 0)[:, None]
        steps = (wanted[middles] - wanted[lows]).ravel() if is_given else None
        found = coder.numbers(f"middle {depth}", contexts.ravel(), steps)
        columns[middles] = columns[lows] + found.reshape(contexts.shape)
        lows, highs = np.concatenate([lows, middles]), np.concatenate([middles, highs])
        depth += 1
    return np.ascontiguousarray(columns.T)


def _ids(coder: Coder, levels: Ints, kinds: Ints, given: Ints | None) -> Ints:
    left = members_left(levels)
    contexts = _NATS[levels]
    wide = np.broadcast_to(kinds[:, None], levels.shape)
    parts = []
    for part in two_parts(len(levels)):
        places = IdPlaces(contexts[part].ravel(), wide[part].ravel(), left[part].ravel())
        found = coder.ids(places, None if given is None else given[part].ravel())
        parts.append(found.reshape(levels[part].shape))
    return np.concatenate(parts)
