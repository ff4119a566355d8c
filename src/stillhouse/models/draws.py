"""Tokens drawn from a softmax, with replacement, outside its kept entries.

The inverse of the distribution function in two steps: first the block, by the blocks' sums, then
the id in the block. So a draw looks at one block, whatever the vocabulary.

Legend: N rows of a chunk, P positions of an example, V vocabulary, B ids of a block, M blocks of
a row, K kept entries, S draws of a row.
"""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.models.logits import BLOCK, LogitRows, Partition, exponentials

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


def draw_tokens(
    rows: LogitRows, partition: Partition, top_ids_NK: Tensor, uniforms_NS: NDArray[np.float64]
) -> NDArray[np.int32]:
    """Ids drawn from the softmax of each row at the partition's temperature.

    Args:
        rows: the logits; the kept entries are taken out of them.
        partition: their sums, block by block, with the kept entries.
        top_ids_NK: (N, K), the kept entries; none of them is drawn.
        uniforms_NS: (N, S) in [0, 1); each gives one draw.

    Returns:
        (N, S) int32, ascending; `NOT_DRAWN` throughout a row that has nothing left.
    """
    rows.remove_(top_ids_NK)
    without = _sums_without(rows, partition, top_ids_NK).cpu().double()
    cumulated_NM = without.cumsum(1)
    has_mass_N = cumulated_NM[:, -1] > 0
    block_NS, share_NS = _invert(cumulated_NM, torch.from_numpy(uniforms_NS))
    inside = rows.blocks(block_NS.to(rows.logits_NW.device)).cpu().double()
    inside /= partition.temperature
    inside = inside.sub_(partition.shift_N.cpu().double()[:, None, None]).exp_().cumsum(2)
    place, _ = _invert(inside.flatten(0, 1), share_NS.reshape(-1, 1))
    ids_NS = block_NS * BLOCK + place.view(block_NS.shape)
    ids_NS[~has_mass_N] = NOT_DRAWN
    drawn: NDArray[np.int32] = ids_NS.sort(dim=1).values.int().numpy()
    return drawn


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


def _sums_without(rows: LogitRows, partition: Partition, top_ids_NK: Tensor) -> Tensor:
    """The blocks' sums again, where an entry was taken out.

    Nothing is subtracted, so that a small rest beside a large entry stays exact.
    """
    if top_ids_NK.shape[1] == 0:
        return partition.sums_NM
    num_blocks = partition.sums_NM.shape[1]
    chosen = top_ids_NK // BLOCK
    if chosen.shape[1] > num_blocks:
        chosen = torch.arange(num_blocks, device=chosen.device).expand(len(chosen), -1)
    left = rows.blocks(chosen)
    exponentials(left, partition.shift_N, partition.temperature, left)
    return partition.sums_NM.scatter(1, chosen, left.sum(2))


def _invert(cumulated_NM: Tensor, uniforms_NS: Tensor) -> tuple[Tensor, Tensor]:
    """Where each uniform number falls, and how far into that place, from 0 to below 1."""
    total_N1 = cumulated_NM[:, -1:]
    below_N1 = torch.nextafter(total_N1, torch.zeros_like(total_N1))
    target_NS = torch.minimum(uniforms_NS * total_N1, below_N1)
    places = torch.searchsorted(cumulated_NM, target_NS, right=True)
    places = places.clamp_max(cumulated_NM.shape[1] - 1)
    before = torch.where(places > 0, cumulated_NM.gather(1, (places - 1).clamp_min(0)), 0.0)
    width = cumulated_NM.gather(1, places) - before
    share = torch.where(width > 0, (target_NS - before) / width, 0.0)
    return places, share.clamp(0.0, 1.0 - 2.0**-53)
