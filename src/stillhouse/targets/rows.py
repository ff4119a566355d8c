"""Targets of one example as whole numbers: the only place where anything is lost.

Legend: P answer tokens of one example, K kept teacher entries, D declared kd_temperatures,
S distinct drawn tokens of the widest position.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.targets import Draws, TargetKey, TokenTargets
from stillhouse.targets.header import TargetHeader
from stillhouse.targets.quantise import NO_MASS, NOTHING, to_levels, to_logprobs

Ints = NDArray[np.int64]

LOG_Z_STEP = 1.0 / 64.0
_LOG_Z_LOWEST = -24.0
"""assumption: exp(-24) beside a sum of at least 1 is below what float32 sees. At a kd_temperature
T below 1 the sum is smaller, but never below V ** (1 - 1 / T), of which exp(-24 / T) is as small
a part for a million tokens."""

ENTROPY_STEP = 1.0 / 32.0
"""assumption: it moves the value of a loss, rounded up as often as down, and no gradient."""

_ROUNDED_MASS = 0.1
"""assumption: 40 entries at half a step of `FINE`, 0.01 of the rest and of a softmax in half
precision come to 0.05."""

_SAME = 1e-3
"""assumption: an engine that computes one log-probability twice comes this close."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What is coded of one example; all arrays int64.

    Attributes:
        kinds: (P,) kinds of positions, see kinds.py; 0 before they are known.
        token_ids: (P,).
        starts: (P,) bytes.
        ends: (P,) bytes.
        places: (P,) of the observed token: 1 + its column among the kept and then the drawn
            entries; 0 where it is in neither.
        observed: (P,) level of the observed token.
        levels: (P, K) ascending: most likely first.
        ids: (P, K) of the kept entries; ascending where levels are equal.
        tails: (P,) level of what the kept entries leave.
        rests: (P, D) what the kept entries leave of the sum at each kd_temperature, as a number
            of steps above its lowest value; 0 for nothing.
        counts: (P, S) of the drawn tokens, descending; 0 in unused places.
        drawn: (P, S) ids of the drawn tokens, ascending where counts are equal; 0 in unused
            places.
        entropies: (P,) in steps; 0 without draws.
    """

    kinds: Ints
    token_ids: Ints
    starts: Ints
    ends: Ints
    places: Ints
    observed: Ints
    levels: Ints
    ids: Ints
    tails: Ints
    rests: Ints
    counts: Ints
    drawn: Ints
    entropies: Ints


def quantise(targets: TokenTargets, header: TargetHeader) -> Rows:
    """Targets as whole numbers.

    Args:
        targets: of one example; they were checked.
        header: of the store.

    Returns:
        The numbers.
    """
    num_tokens = len(targets.token_ids)
    kept = targets.top_logprobs.astype(np.float64)
    levels = to_levels(kept).astype(np.int64)
    keys = np.sort(levels * header.vocab_size + targets.top_ids, axis=1)
    levels, ids = np.divmod(keys, header.vocab_size)
    rests = np.zeros((num_tokens, len(header.kd_temperatures)), np.int64)
    for column, temperature in enumerate(header.kd_temperatures):
        if temperature != 1.0 and header.codec != "full":
            rests[:, column] = _rest(kept, targets.log_z[:, column], temperature)
    counts, drawn, entropies = _by_count(targets.draws, num_tokens, header.vocab_size)
    return Rows(
        kinds=np.zeros(num_tokens, np.int64),
        token_ids=targets.token_ids.astype(np.int64),
        starts=targets.byte_offsets[:, 0].astype(np.int64),
        ends=targets.byte_offsets[:, 1].astype(np.int64),
        places=_places(targets, ids, np.where(counts > 0, drawn, -1)),
        observed=to_levels(targets.observed_logprobs).astype(np.int64),
        levels=levels,
        ids=ids,
        tails=_tail_levels(kept),
        rests=rests,
        counts=counts,
        drawn=drawn,
        entropies=entropies,
    )


def restore(rows: Rows, key: TargetKey, header: TargetHeader) -> TokenTargets:
    """Targets from whole numbers.

    Args:
        rows: of one example.
        key: of the example.
        header: of the store.

    Returns:
        Arrays of the shapes that `TokenTargets` states; entries and tail sum to 1.

    Raises:
        ValueError: they were never quantised from probabilities.
    """
    kept = to_logprobs(rows.levels)
    tail = np.exp(to_logprobs(rows.tails))
    mass = np.exp(kept).sum(axis=1) + tail
    if not (np.abs(mass - 1.0) <= _ROUNDED_MASS).all():
        raise ValueError("the probabilities of a position do not sum to 1")
    kept -= np.log(mass)[:, None]
    observed = to_logprobs(rows.observed)
    is_kept = (rows.places > 0) & (rows.places <= header.top_k)
    observed[is_kept] = kept[is_kept, rows.places[is_kept] - 1]
    log_z = np.zeros(rows.rests.shape, np.float64)
    for column, temperature in enumerate(header.kd_temperatures):
        if temperature != 1.0:
            rest = rows.rests[:, column]
            left = np.where(rest > 0, np.exp(_lowest(temperature) + LOG_Z_STEP * (rest - 1)), 0.0)
            log_z[:, column] = np.log(np.exp(kept / temperature).sum(axis=1) + left)
    return TokenTargets(
        key=key,
        token_ids=rows.token_ids.astype(np.int32),
        byte_offsets=np.stack([rows.starts, rows.ends], axis=1).astype(np.int32),
        observed_logprobs=observed.astype(np.float32),
        top_ids=rows.ids.astype(np.int32),
        top_logprobs=kept.astype(np.float32),
        log_z=log_z.astype(np.float32),
        draws=_by_id(rows, header.vocab_size) if header.num_draws else None,
    )


def entries(rows: Rows) -> Ints:
    """(P, K + S) ids of what is kept and drawn at each position, -1 in unused places."""
    return np.concatenate([rows.ids, np.where(rows.counts > 0, rows.drawn, -1)], axis=1)


def _places(targets: TokenTargets, ids: Ints, drawn: Ints) -> Ints:
    token_ids = targets.token_ids[:, None]
    is_it = np.concatenate([ids, drawn], axis=1) == token_ids
    # A kept token that was observed with another log-probability keeps both.
    gaps = np.abs(targets.top_logprobs - targets.observed_logprobs[:, None], dtype=np.float64)
    is_other = ((targets.top_ids == token_ids) & ~(gaps < _SAME)).any(axis=1)
    is_there = is_it.any(axis=1) & ~is_other
    first = is_it.argmax(axis=1) if is_it.shape[1] else np.zeros(len(ids), np.int64)
    return np.where(is_there, 1 + first, 0)


def _tail_levels(kept: NDArray[np.float64]) -> Ints:
    left = 1.0 - np.exp(kept).sum(axis=1)
    logs = np.log(np.maximum(left, NO_MASS))
    return np.where(left > NO_MASS, to_levels(logs), NOTHING).astype(np.int64)


def _rest(kept: NDArray[np.float64], log_z: NDArray[np.float32], temperature: float) -> Ints:
    """What the kept entries leave of exp(log_z), in steps."""
    whole = np.exp(log_z.astype(np.float64))
    left = whole - np.exp(kept / temperature).sum(axis=1)
    is_some = left > NO_MASS * whole
    logs = np.log(np.where(is_some, left, 1.0))
    steps = 1 + np.rint(np.maximum(logs - _lowest(temperature), 0.0) / LOG_Z_STEP)
    return np.where(is_some, steps, 0).astype(np.int64)


def _lowest(temperature: float) -> float:
    return _LOG_Z_LOWEST / min(temperature, 1.0)


def _by_count(draws: Draws | None, num_tokens: int, vocab_size: int) -> tuple[Ints, Ints, Ints]:
    """Counts and ids, most drawn first, without columns that nobody uses; and entropies."""
    if draws is None:
        nothing = np.zeros((num_tokens, 0), np.int64)
        return nothing, nothing, np.zeros(num_tokens, np.int64)
    counts = draws.counts.astype(np.int64)
    most = int(counts.max(initial=0))
    ids = np.where(counts > 0, draws.ids, 0)
    keys = np.sort((most - counts) * vocab_size + ids, axis=1)
    fewer, ids = np.divmod(keys, vocab_size)
    width = int((counts > 0).sum(axis=1).max(initial=0))
    entropies = np.rint(np.maximum(draws.entropy.astype(np.float64), 0.0) / ENTROPY_STEP)
    return most - fewer[:, :width], ids[:, :width], entropies.astype(np.int64)


def _by_id(rows: Rows, vocab_size: int) -> Draws:
    keys = np.where(rows.counts > 0, rows.drawn, vocab_size)
    order = np.argsort(keys, axis=1, kind="stable")
    return Draws(
        ids=np.take_along_axis(rows.drawn, order, axis=1).astype(np.int32),
        counts=np.take_along_axis(rows.counts, order, axis=1).astype(np.int32),
        entropy=(ENTROPY_STEP * rows.entropies).astype(np.float32),
    )
