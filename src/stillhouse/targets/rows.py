"""Targets of one example as whole numbers, and back; the only place where anything is lost.

Legend: P answer tokens of one example, K kept teacher entries, D declared kd_temperatures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import ShapeError, StillhouseError
from stillhouse.core.targets import TargetKey, TokenTargets
from stillhouse.targets.header import TargetHeader
from stillhouse.targets.models import MAX_NUMBER
from stillhouse.targets.quantise import NO_MASS, NOTHING, to_levels, to_logprobs

Ints = NDArray[np.int64]

LOG_Z_STEP = 1.0 / 64.0
_LOG_Z_LOWEST = -24.0
"""assumption: exp(-24) beside a sum of at least 1 is below what float32 sees."""

_SAME = 1e-3
"""assumption: an engine that computes one log-probability twice comes this close."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What is coded of one example; all arrays int64.

    Attributes:
        token_ids: (P,).
        starts: (P,) bytes.
        ends: (P,) bytes.
        places: (P,) of the observed token among the kept entries; K where it is not kept.
        observed: (P,) level of the observed token.
        levels: (P, K) ascending: most likely first.
        ids: (P, K) of the kept entries; ascending where levels are equal.
        tails: (P,) level of what the kept entries leave.
        rests: (P, D) what the kept entries leave of the sum at each kd_temperature, as a number
            of steps above its lowest value; 0 for nothing.
    """

    token_ids: Ints
    starts: Ints
    ends: Ints
    places: Ints
    observed: Ints
    levels: Ints
    ids: Ints
    tails: Ints
    rests: Ints


def quantise(targets: TokenTargets, header: TargetHeader) -> Rows:
    """Targets as whole numbers.

    Args:
        targets: of one example; they were checked.
        header: of the store.

    Returns:
        The numbers.
    """
    levels = to_levels(targets.top_logprobs).astype(np.int64)
    keys = np.sort(levels * header.vocab_size + targets.top_ids, axis=1)
    levels, ids = np.divmod(keys, header.vocab_size)
    token_ids = targets.token_ids.astype(np.int64)
    kept = targets.top_logprobs.astype(np.float64)
    is_it = (targets.top_ids == token_ids[:, None]) & (
        np.abs(kept - targets.observed_logprobs[:, None]) < _SAME
    )
    places = np.where(is_it.any(axis=1), (ids == token_ids[:, None]).argmax(axis=1), header.top_k)
    observed = to_levels(targets.observed_logprobs).astype(np.int64)
    tails = _tail_levels(kept)
    rests = np.zeros((len(token_ids), len(header.kd_temperatures)), np.int64)
    for column, temperature in enumerate(header.kd_temperatures):
        if temperature != 1.0:
            rests[:, column] = _rest(kept, targets.log_z[:, column], temperature)
    return Rows(
        token_ids=token_ids,
        starts=targets.byte_offsets[:, 0].astype(np.int64),
        ends=targets.byte_offsets[:, 1].astype(np.int64),
        places=places,
        observed=observed,
        levels=levels,
        ids=ids,
        tails=tails,
        rests=rests,
    )


def restore(rows: Rows, key: TargetKey, header: TargetHeader) -> TokenTargets:
    """Targets from whole numbers.

    Args:
        rows: of one example.
        key: of the example.
        header: of the store.

    Returns:
        Arrays of the shapes that `TokenTargets` states; entries and tail sum to 1.
    """
    kept = to_logprobs(rows.levels)
    tail = np.exp(to_logprobs(rows.tails))
    shift = np.log(np.exp(kept).sum(axis=1) + tail)
    kept -= shift[:, None]
    observed = to_logprobs(rows.observed)
    is_kept = rows.places < header.top_k
    at = np.minimum(rows.places, header.top_k - 1)[:, None]
    observed = np.where(is_kept, np.take_along_axis(kept, at, axis=1)[:, 0], observed)
    log_z = np.zeros(rows.rests.shape, np.float64)
    for column, temperature in enumerate(header.kd_temperatures):
        if temperature != 1.0:
            rest = rows.rests[:, column]
            found = np.where(rest > 0, np.exp(_LOG_Z_LOWEST + LOG_Z_STEP * (rest - 1)), 0.0)
            log_z[:, column] = np.log(np.exp(kept / temperature).sum(axis=1) + found)
    return TokenTargets(
        key=key,
        token_ids=rows.token_ids.astype(np.int32),
        byte_offsets=np.stack([rows.starts, rows.ends], axis=1).astype(np.int32),
        observed_logprobs=observed.astype(np.float32),
        top_ids=rows.ids.astype(np.int32),
        top_logprobs=kept.astype(np.float32),
        log_z=log_z.astype(np.float32),
    )


def check(targets: TokenTargets, header: TargetHeader) -> None:
    """Say nothing when targets can be stored under a header.

    Args:
        targets: of one example.
        header: of the store.

    Raises:
        ShapeError: an array has not the shape that the header demands.
        StillhouseError: NaN, an id outside the vocabulary or twice in a row, or a byte span that
            ends before it starts or far away.
    """
    where = f"of example {targets.key.example_id}"
    num_tokens = len(targets.token_ids)
    shapes = {
        "token_ids": (num_tokens,),
        "byte_offsets": (num_tokens, 2),
        "observed_logprobs": (num_tokens,),
        "top_ids": (num_tokens, header.top_k),
        "top_logprobs": (num_tokens, header.top_k),
        "log_z": (num_tokens, len(header.kd_temperatures)),
    }
    for name, wanted in shapes.items():
        values = np.asarray(getattr(targets, name))
        if values.shape != wanted:
            raise ShapeError(f"{name} {where} has the shape {values.shape}; {wanted} is wanted")
        if np.isnan(values).any():
            raise StillhouseError(
                f"{name} {where} holds NaN",
                "the teacher overflowed: score it in float32 or bfloat16",
            )
    _check_ids(targets, header, where)
    spans = targets.byte_offsets
    if num_tokens and (spans.min() < 0 or (spans[:, 1] < spans[:, 0]).any()):
        raise StillhouseError(f"byte_offsets {where} hold a span that ends before it starts")
    if num_tokens and spans.max() > MAX_NUMBER // 2:
        raise StillhouseError(
            f"byte_offsets {where} reach {int(spans.max())}; {MAX_NUMBER // 2} is the most",
            "split the conversation",
        )


def _check_ids(targets: TokenTargets, header: TargetHeader, where: str) -> None:
    for name in ("token_ids", "top_ids"):
        ids = getattr(targets, name)
        if ids.size and (ids.min() < 0 or ids.max() >= header.vocab_size):
            raise StillhouseError(
                f"{name} {where} hold {int(ids.min())} to {int(ids.max())}; the vocabulary has "
                f"{header.vocab_size}",
                "the header and the teacher belong to different tokenizers",
            )
    ordered = np.sort(targets.top_ids, axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        raise StillhouseError(f"top_ids {where} hold a token twice in one row")


def _tail_levels(kept: NDArray[np.float64]) -> Ints:
    left = 1.0 - np.exp(kept).sum(axis=1)
    with np.errstate(divide="ignore"):
        logs = np.log(np.where(left > NO_MASS, left, 0.0))
    return np.where(left > NO_MASS, to_levels(logs), NOTHING).astype(np.int64)


def _rest(kept: NDArray[np.float64], log_z: NDArray[np.float32], temperature: float) -> Ints:
    """What the kept entries leave of exp(log_z), in steps."""
    whole = np.exp(log_z.astype(np.float64))
    left = whole - np.exp(kept / temperature).sum(axis=1)
    is_some = left > NO_MASS * whole
    logs = np.log(np.where(is_some, left, 1.0))
    steps = 1 + np.rint((np.maximum(logs, _LOG_Z_LOWEST) - _LOG_Z_LOWEST) / LOG_Z_STEP)
    return np.where(is_some, steps, 0).astype(np.int64)
