"""Which numbers stand in an example, in which order, and what tells each of them apart.

Said once: the same walk counts, encodes and decodes (entropy.py). Everything that a context uses
was read before.

Legend: P answer tokens of one example, K kept teacher entries, D declared kd_temperatures,
S distinct drawn tokens of the widest position.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stillhouse.targets.drawn import count_context, walk_drawn
from stillhouse.targets.entropy import Coder, IdPlaces
from stillhouse.targets.header import TargetHeader
from stillhouse.targets.kept import COARSE_LEVELS, NOT_KEPT, walk_all, walk_kept
from stillhouse.targets.quantise import NOTHING, level_of_rest, level_of_share
from stillhouse.targets.rows import Rows

Ints = NDArray[np.int64]


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
    zeros = np.zeros(num_tokens, np.int64)
    kinds = coder.numbers("kind", zeros, None if rows is None else rows.kinds)
    walk_head = walk_all if header.codec == "full" else walk_kept
    levels, ids = walk_head(coder, header.top_k, kinds, rows)
    counts, drawn = walk_drawn(coder, header.num_draws, kinds, rows)
    likely = COARSE_LEVELS[levels[:, 0]] if header.top_k else _most(counts)
    places = coder.numbers("place", likely, None if rows is None else rows.places)
    token_ids, observed = _observed(
        coder, header, (levels, ids, counts, drawn, kinds), places, rows
    )
    tails = _tails(coder, header, levels, rows)
    rests = np.zeros((num_tokens, len(header.kd_temperatures)), np.int64)
    for column, temperature in enumerate(header.kd_temperatures):
        if temperature != 1.0 and header.codec != "full":
            given = None if rows is None else rows.rests[:, column]
            rests[:, column] = coder.numbers(f"rest {column}", COARSE_LEVELS[tails], given)
    entropies = zeros
    if header.num_draws:
        entropies = coder.numbers(
            "entropy", _most(counts), None if rows is None else rows.entropies
        )
    starts, ends = _spans(coder, num_tokens, rows)
    return Rows(
        kinds=kinds,
        token_ids=token_ids,
        starts=starts,
        ends=ends,
        places=places,
        observed=observed,
        levels=levels,
        ids=ids,
        tails=tails,
        rests=rests,
        counts=counts,
        drawn=drawn,
        entropies=entropies,
    )


def _most(counts: Ints) -> Ints:
    """The largest count of each position; 0 where nothing was drawn."""
    return counts[:, 0] if counts.shape[1] else np.zeros(len(counts), np.int64)


def _observed(
    coder: Coder,
    header: TargetHeader,
    entries: tuple[Ints, Ints, Ints, Ints, Ints],
    places: Ints,
    rows: Rows | None,
) -> tuple[Ints, Ints]:
    """Id and level of the observed tokens; what an entry says of them is not said again."""
    levels, ids, counts, drawn, kinds = entries
    num_tokens, top_k = levels.shape
    columns = np.concatenate([np.full((num_tokens, 1), -1), ids, drawn], axis=1)
    token_ids = np.take_along_axis(columns, places[:, None], axis=1)[:, 0]
    is_new = places == 0
    num_new = int(is_new.sum())
    unordered = IdPlaces(np.full(num_new, NOT_KEPT), kinds[is_new], np.ones(num_new, np.int64))
    token_ids[is_new] = coder.ids(unordered, None if rows is None else rows.token_ids[is_new])

    columns = np.concatenate([np.zeros((num_tokens, 1 + top_k), np.int64), counts], axis=1)
    times = np.take_along_axis(columns, places[:, None], axis=1)[:, 0]
    observed = np.zeros(num_tokens, np.int64)
    is_kept = (places > 0) & (places <= top_k)
    observed[is_kept] = levels[is_kept, places[is_kept] - 1]
    other = ~is_kept
    guesses = np.where(times > 0, level_of_share(times, header.num_draws), 0)
    if top_k:
        guesses = np.where(times > 0, np.maximum(guesses, levels[:, -1]), levels[:, -1])
    steps = None if rows is None else _folded(rows.observed[other] - guesses[other])
    found = coder.numbers("observed", count_context(times[other]), steps)
    observed[other] = guesses[other] + _unfolded(found)
    return token_ids, observed


def _tails(coder: Coder, header: TargetHeader, levels: Ints, rows: Rows | None) -> Ints:
    """Levels of the tail, 0 for none: what the kept entries, as quantised, leave is nearly it."""
    if header.codec in ("full", "sampled"):
        return np.full(len(levels), 0 if header.codec == "sampled" else NOTHING)
    guesses = level_of_rest(levels)
    given = None
    if rows is not None:
        given = np.where(rows.tails == NOTHING, 0, 1 + _folded(rows.tails - guesses))
    found = coder.numbers("tail", COARSE_LEVELS[guesses], given)
    return np.where(found > 0, guesses + _unfolded(found - 1), NOTHING)


def _spans(coder: Coder, num_tokens: int, rows: Rows | None) -> tuple[Ints, Ints]:
    """Starts and ends of the tokens' byte spans: lengths, and gaps, which are mostly 0."""
    is_first = (np.arange(num_tokens) == 0).astype(np.int64)
    gaps, lengths = None, None
    if rows is not None:
        gaps = _folded(rows.starts - np.concatenate([[0], rows.ends[:-1]])[:num_tokens])
        lengths = rows.ends - rows.starts
    steps = _unfolded(coder.numbers("gap", is_first, gaps))
    lengths = coder.numbers("length", np.zeros(num_tokens, np.int64), lengths)
    ends = np.cumsum(steps + lengths)
    return ends - lengths, ends


def _folded(steps: Ints) -> Ints:
    """0, -1, 1, -2 ... as 0, 1, 2, 3 ..."""
    return np.where(steps >= 0, 2 * steps, -2 * steps - 1)


def _unfolded(numbers: Ints) -> Ints:
    return np.where(numbers % 2 == 0, numbers // 2, -(numbers + 1) // 2)
