"""Stored targets of some examples as the flat rows that a loss takes.

Legend: N trained tokens of a batch, K kept teacher entries, S kept and drawn tokens of the widest
row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.targets import Draws, TokenTargets


def soft_rows(
    targets: Sequence[TokenTargets], log_z_column: int, kd_temperature: float
) -> dict[str, NDArray[Any]]:
    """The targets of all tokens, example after example.

    Args:
        targets: of examples of one store, so either all have draws or none has.
        log_z_column: of `TokenTargets.log_z`, the one of the kd_temperature in use.
        kd_temperature: at which draws were made; read for these alone.

    Returns:
        `top_ids` (N, K) int64, `top_logprobs` (N, K) and `log_z` (N,), both float32. Where tokens
        were drawn, `drawn_ids` (N, S) int64 and `drawn_probs` (N, S) float32 at the
        kd_temperature, kept entries among them, and `entropy` (N,); unused places hold id 0 and
        probability 0.
    """
    if not targets:
        nothing = np.zeros((0, 0), np.float32)
        log_z = np.zeros(0, np.float32)
        return {"top_ids": nothing.astype(np.int64), "top_logprobs": nothing, "log_z": log_z}
    top_ids = np.concatenate([part.top_ids for part in targets]).astype(np.int64)
    top_logprobs = np.concatenate([part.top_logprobs for part in targets])
    log_z = np.concatenate([part.log_z[:, log_z_column] for part in targets])
    draws = [part.draws for part in targets if part.draws is not None]
    if not draws:
        return {"top_ids": top_ids, "top_logprobs": top_logprobs, "log_z": log_z}
    kept = np.exp(top_logprobs.astype(np.float64) / kd_temperature - log_z[:, None])
    ids, shares = _side_by_side(draws)
    tail = np.clip(1.0 - kept.sum(axis=1, keepdims=True), 0.0, None)
    return {
        "drawn_ids": np.concatenate([top_ids, ids], axis=1),
        "drawn_probs": np.concatenate([kept, tail * shares], axis=1).astype(np.float32),
        "entropy": np.concatenate([part.entropy for part in draws]),
    }


def _side_by_side(draws: Sequence[Draws]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Ids of all rows at one width, and the share of its row's draws that each has."""
    width = max(part.ids.shape[1] for part in draws)
    places = [((0, 0), (0, width - part.ids.shape[1])) for part in draws]
    ids = np.concatenate([np.pad(p.ids, at) for p, at in zip(draws, places, strict=True)])
    counts = np.concatenate([np.pad(p.counts, at) for p, at in zip(draws, places, strict=True)])
    drawn = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return ids.astype(np.int64), counts / drawn
