"""Which numbers stand in an example, in which order, and what tells each of them apart.

Said once: the same walk counts, encodes and decodes (entropy.py). Everything that a context uses
was read before.

Legend: P answer tokens of one example, K kept teacher entries, D declared kd_temperatures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stillhouse.targets.entropy import MAX_FREE, Coder
from stillhouse.targets.header import TargetHeader
from stillhouse.targets.quantise import NOTHING, level_of_rest, to_logprobs
from stillhouse.targets.rows import Rows

Ints = NDArray[np.int64]

ID_MODELS = ("ids",)
"""Models of token ids; all others are of plain numbers."""

_LOGPROBS = to_logprobs(np.arange(NOTHING + 1))
_COARSE = np.minimum(
    np.where(_LOGPROBS > -3.0, 16.0 * -np.expm1(_LOGPROBS), 15.2 + 2.0 * (-_LOGPROBS - 3.0)), 47
).astype(np.int64)
"""Levels as contexts, below 48: in sixteenths of probability, then in half nats."""

_MOST_NATS = 11
_NATS = np.minimum(-_LOGPROBS, _MOST_NATS).astype(np.int64)
"""Levels as contexts of ids, in whole nats."""
_NOT_KEPT = _MOST_NATS + 1
"""The context of a token's id that was observed but not kept."""

_ROOMS = np.array([*range(1, 16), 16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024, 2048])
"""Widths from which on a room has a context of its own."""


def walk(coder: Coder, header: TargetHeader, num_tokens: int, rows: Rows | None) -> Rows:
    """Pass all numbers of one example through a coder.

    Args:
        coder: counts, encodes or decodes.
        header: of the store.
        num_tokens: P.
        rows: the numbers; None when decoding.

    Returns:
        The numbers.
    """
    levels = _levels(coder, header.top_k, num_tokens, rows)
    ids = _ids(coder, levels, None if rows is None else rows.ids)
    places, token_ids, observed = _observed(coder, levels, ids, rows)
    tails = _tails(coder, levels, None if rows is None else rows.tails)
    rests = np.zeros((num_tokens, len(header.kd_temperatures)), np.int64)
    for column, temperature in enumerate(header.kd_temperatures):
        if temperature != 1.0:
            given = None if rows is None else rows.rests[:, column]
            rests[:, column] = coder.numbers(f"rest {column}", _COARSE[tails], given)
    starts, ends = _spans(coder, num_tokens, rows)
    return Rows(token_ids, starts, ends, places, observed, levels, ids, tails, rests)


def _levels(coder: Coder, top_k: int, num_tokens: int, rows: Rows | None) -> Ints:
    """Ascending levels: the ends first, then the middle of each interval, ever finer."""
    given = None if rows is None else rows.levels
    levels = np.zeros((num_tokens, top_k), np.int64) if given is None else given
    zeros = np.zeros(num_tokens, np.int64)
    if top_k == 0:
        return levels
    levels[:, 0] = coder.numbers("first", zeros, None if given is None else given[:, 0])
    if top_k == 1:
        return levels
    span = None if given is None else given[:, -1] - given[:, 0]
    levels[:, -1] = levels[:, 0] + coder.numbers("span", _COARSE[levels[:, 0]], span)
    lows, highs, depth = np.array([0]), np.array([top_k - 1]), 0
    while len(lows):
        middles = (lows + highs) // 2
        room = levels[:, highs] - levels[:, lows]
        is_head = np.broadcast_to(lows == 0, room.shape)
        contexts = (2 * np.searchsorted(_ROOMS, room, side="right") + is_head).ravel()
        steps = None if given is None else (given[:, middles] - given[:, lows]).ravel()
        found = coder.numbers(f"middle {depth}", contexts, steps).reshape(room.shape)
        levels[:, middles] = levels[:, lows] + found
        lows, highs = np.concatenate([lows, middles]), np.concatenate([middles, highs])
        is_open = highs - lows > 1
        lows, highs, depth = lows[is_open], highs[is_open], depth + 1
    return levels


def _ids(coder: Coder, levels: Ints, given: Ints | None) -> Ints:
    """Kept ids. Two parts: bits of the second, which is written first, order the first."""
    cut = len(levels) - len(levels) // 8
    parts = []
    for part in (slice(0, cut), slice(cut, None)):
        values = None if given is None else given[part].ravel()
        found = coder.groups("ids", _NATS[levels[part]].ravel(), _left(levels[part]), values)
        parts.append(found.reshape(levels[part].shape))
    return np.concatenate(parts)


def _left(levels: Ints) -> Ints:
    """Members of its run of equal levels from each on; runs are cut at MAX_FREE; (P * K,)."""
    is_last = np.ones(levels.shape, bool)
    is_last[:, :-1] = levels[:, :-1] != levels[:, 1:]
    places = np.arange(levels.size)
    ends = np.where(is_last.ravel(), places, levels.size)
    return (np.minimum.accumulate(ends[::-1])[::-1] - places) % MAX_FREE + 1


def _observed(coder: Coder, levels: Ints, ids: Ints, rows: Rows | None) -> tuple[Ints, Ints, Ints]:
    """Place among the kept, id and level of the observed tokens."""
    num_tokens, top_k = levels.shape
    first = levels[:, 0] if top_k else np.zeros(num_tokens, np.int64)
    places = coder.numbers("place", _COARSE[first], None if rows is None else rows.places)
    is_kept = places < top_k
    at = np.flatnonzero(is_kept), places[is_kept]
    token_ids, observed = np.zeros(num_tokens, np.int64), np.zeros(num_tokens, np.int64)
    token_ids[is_kept], observed[is_kept] = ids[at], levels[at]
    other = ~is_kept
    contexts = np.full(int(other.sum()), _NOT_KEPT)
    given = None if rows is None else rows.token_ids[other]
    token_ids[other] = coder.numbers("ids", contexts, given)
    given = None if rows is None else rows.observed[other]
    observed[other] = coder.numbers("other", np.zeros_like(contexts), given)
    return places, token_ids, observed


def _tails(coder: Coder, levels: Ints, given: Ints | None) -> Ints:
    """Levels of the tail: what the kept entries, as quantised, leave of 1 is nearly it."""
    guesses = level_of_rest(levels)
    steps = None if given is None else _folded(given - guesses)
    return guesses + _unfolded(coder.numbers("tail", _COARSE[guesses], steps))


def _folded(steps: Ints) -> Ints:
    """0, -1, 1, -2 ... as 0, 1, 2, 3 ..."""
    return np.where(steps >= 0, 2 * steps, -2 * steps - 1)


def _unfolded(numbers: Ints) -> Ints:
    return np.where(numbers % 2 == 0, numbers // 2, -(numbers + 1) // 2)


def _spans(coder: Coder, num_tokens: int, rows: Rows | None) -> tuple[Ints, Ints]:
    """Starts and ends of the tokens' byte spans: lengths, and gaps, which are mostly 0."""
    zeros = np.zeros(num_tokens, np.int64)
    is_first = (np.arange(num_tokens) == 0).astype(np.int64)
    gaps, lengths = None, None
    if rows is not None:
        steps = rows.starts - np.concatenate([[0], rows.ends[:-1]])[:num_tokens]
        gaps = _folded(steps)
        lengths = rows.ends - rows.starts
    steps = _unfolded(coder.numbers("gap", is_first, gaps))
    lengths = coder.numbers("length", zeros, lengths)
    ends = np.cumsum(steps + lengths)
    return ends - lengths, ends
