"""The K largest entries of long rows, exactly, without a look at every entry.

The K blocks of the largest maxima hold the K largest entries, so only these are looked into.

Legend: N rows, C columns, V vocabulary, K entries kept, M blocks of a row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.models.logits import BLOCK, LogitRows, take_blocks

_BLOCKS = (BLOCK, 16)
"""measured: widths of the blocks from outside in; without the inner ones the search in the outer
ones takes twice as long."""


def top_entries(rows: LogitRows, maxima_NM: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """The K largest logits of each row.

    Args:
        rows: the logits.
        maxima_NM: the largest of each block of them.
        top_k: K; at most V are there.

    Returns:
        Logits (N, K), descending, and their ids (N, K) int64; the smaller id first among equals,
        also where equals stand on both sides of the border.
    """
    top_k = min(top_k, rows.vocab_size)
    if top_k == 0:
        nothing = maxima_NM[:, :0]
        return nothing, nothing.long()
    values, ids, outside_N = _largest(rows.logits_NW, top_k, _BLOCKS, maxima_NM)
    is_tied_N = outside_N == values[:, -1]
    if bool(is_tied_N.any()):
        tied = is_tied_N.nonzero()[:, 0]
        ids[tied] = _settle(rows.logits_NW[tied], values[tied], ids[tied])
    ids, order = ids.sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, ids.gather(1, order)


def _largest(
    values_NC: Tensor, top_k: int, widths: tuple[int, ...], maxima_NM: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The K largest of each row, descending, their places, and the largest of all others."""
    while widths and 2 * (top_k + 1) * widths[0] > values_NC.shape[1]:
        widths, maxima_NM = widths[1:], None
    if not widths:
        values, places = values_NC.topk(min(top_k + 1, values_NC.shape[1]))
        others_N = values[:, top_k:].sum(1)  # of one entry, or of none
        if values.shape[1] == top_k:
            others_N = torch.full_like(values[:, 0], -torch.inf)
        return values[:, :top_k], places[:, :top_k], others_N
    width = widths[0]
    if maxima_NM is None:
        maxima_NM = values_NC.unflatten(1, (-1, width)).amax(2)
    best, chosen = maxima_NM.topk(top_k + 1)
    inside = take_blocks(values_NC, chosen[:, :top_k], width).flatten(1)
    values, places, others_N = _largest(inside, top_k, widths[1:])
    places = chosen.gather(1, places // width) * width + places % width
    return values, places, torch.maximum(others_N, best[:, top_k])


def _settle(logits_NW: Tensor, values_NK: Tensor, ids_NK: Tensor) -> Tensor:
    """The ids, those of the smallest kept value replaced by the smallest ids that have it."""
    border_N1 = values_NK[:, -1:]
    num_above_N1 = (values_NK > border_N1).sum(1, keepdim=True)
    columns = torch.arange(logits_NW.shape[1], device=logits_NW.device)
    candidates = torch.where(logits_NW == border_N1, columns, len(columns))
    equal_NK = candidates.topk(ids_NK.shape[1], largest=False).values
    places = torch.arange(ids_NK.shape[1], device=ids_NK.device) - num_above_N1
    return torch.where(places >= 0, equal_NK.gather(1, places.clamp_min(0)), ids_NK)
