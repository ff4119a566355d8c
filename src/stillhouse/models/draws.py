"""Tokens drawn from a softmax, with replacement, outside its kept entries.

The inverse of the distribution function in two steps: first the block, by the blocks' sums, then
the id in the block. So a draw looks at one block, whatever the vocabulary.

Legend: N rows of a chunk, P positions of an example, V vocabulary, B ids of a block, M blocks of
a row, K kept entries, S draws of a row.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.models.logits import BLOCK, LogitRows, Partition, exponentials
from stillhouse.models.tally import NOT_DRAWN


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
