"""The K largest entries of long rows, exactly, without a look at every entry.

An entry that is among the K largest lies in one of the K blocks of the largest maxima, ties being
decided by place in both; so only these blocks are looked into, and inside them likewise.

Legend: N rows, C columns, V vocabulary, K entries kept, M blocks of a row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.models.logits import BLOCK, LogitRows, take_blocks

_BLOCKS = (BLOCK, 16)
"""measured: widths of the blocks from outside in; without the inner ones the search in the outer
ones takes twice as long."""

_KEYS = 1 << 20
"""assumption: keys that are held at once, 8 MB."""


def top_entries(rows: LogitRows, maxima_NM: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """The K largest logits of each row.

    Args:
        rows: the logits.
        maxima_NM: (N, M), the largest of each block of them.
        top_k: K; at most V are there.

    Returns:
        Logits (N, K), descending, and their ids (N, K) int64; the smaller id first among equals,
        also where equals stand on both sides of the border.
    """
    top_k = min(top_k, rows.vocab_size)
    if top_k == 0:
        nothing = maxima_NM[:, :0]
        return nothing, nothing.long()
    ids_NK = _largest(rows.logits_NW, top_k, _BLOCKS, maxima_NM)
    return rows.at(ids_NK), ids_NK


def _largest(
    values_NC: Tensor, top_k: int, widths: tuple[int, ...], maxima_NM: Tensor | None = None
) -> Tensor:
    """Places (N, K) of the largest of each row, descending, the smaller place first among equals.

    `maxima_NM` are of blocks of the first width.
    """
    while widths and 2 * top_k * widths[0] > values_NC.shape[1]:
        widths, maxima_NM = widths[1:], None
    if not widths:
        return _first(values_NC, top_k)
    width = widths[0]
    if maxima_NM is None:
        maxima_NM = values_NC.unflatten(1, (-1, width)).amax(2)
    # In the order of their places, so that equals inside keep theirs.
    chosen = _first(maxima_NM, top_k).sort(dim=1).values
    inside = take_blocks(values_NC, chosen, width).flatten(1)
    places = _largest(inside, top_k, widths[1:])
    return chosen.gather(1, places // width) * width + places % width


def _first(values_NC: Tensor, top_k: int) -> Tensor:
    """As `_largest`, by a look at every entry."""
    num_columns = values_NC.shape[1]
    later = torch.arange(num_columns, 0, -1, device=values_NC.device)
    found = []
    for part_nC in values_NC.split(max(1, _KEYS // num_columns)):
        # Bits of float32 are in order once the negative ones are turned around; 0 is added to
        # make -0 equal to 0.
        bits_nC = (part_nC + 0.0).view(torch.int32)
        bits_nC ^= (bits_nC >> 31) & 0x7FFFFFFF
        keys_nC = bits_nC.long().mul_(1 << 32).add_(later)
        found.append(keys_nC.topk(top_k).indices)
    return torch.cat(found)
