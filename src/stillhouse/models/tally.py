"""The numbers that decide an example's draws, and the draws counted; neither needs torch.

Legend: P positions of an example, S draws of a position.
"""

from __future__ import annotations

from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

NOT_DRAWN = -1
"""Stands in every place of a row whose kept entries leave nothing to draw from."""


def uniforms(example_id: str, num_tokens: int, num_draws: int, seed: int) -> NDArray[np.float64]:
    """The numbers that decide an example's draws, whatever it is batched with.

    Args:
        example_id: of the example.
        num_tokens: P.
        num_draws: S.
        seed: of the capture.

    Returns:
        (P, S) in [0, 1).
    """
    entropy = int.from_bytes(sha256(example_id.encode()).digest()[:16], "little")
    return np.random.default_rng([seed, entropy]).random((num_tokens, num_draws))


def tally(drawn_PS: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Draws as distinct ids with their counts.

    Args:
        drawn_PS: (P, S), ascending in each row; `NOT_DRAWN` where there was nothing to draw.

    Returns:
        ids and counts, both (P, width of the widest row) int32, as `Draws` has them.
    """
    is_new = np.ones(drawn_PS.shape, np.bool_)
    is_new[:, 1:] = drawn_PS[:, 1:] != drawn_PS[:, :-1]
    column_PS = np.cumsum(is_new, axis=1) - 1
    width = int(column_PS.max(initial=-1)) + 1
    ids = np.zeros((len(drawn_PS), width), np.int32)
    counts = np.zeros_like(ids)
    row_P1 = np.arange(len(drawn_PS))[:, None]
    ids[row_P1, column_PS] = drawn_PS
    np.add.at(counts, (np.broadcast_to(row_P1, column_PS.shape), column_PS), 1)
    is_empty = ids == NOT_DRAWN
    ids[is_empty], counts[is_empty] = 0, 0
    return ids, counts
