"""Whether a model can read several examples in one row without one seeing another.

Most can: where positions start anew, transformers builds attention in blocks. Recurrent and
convolutional layers, and models that count positions by themselves, cannot.

Legend: R rows, W width of a row, H hidden size, T tokens of one example, N positions of a batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence

import torch
from peft import PeftModel
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel
from transformers.masking_utils import create_masks_for_generate

from stillhouse.models.head import find_head, last_hidden
from stillhouse.models.inference import evaluating, plain_model

PackedReader = Callable[[PreTrainedModel, Tensor, Tensor], Tensor]
"""From a model, `input_ids` (R, W) and `position_ids` (R, W) to hidden states (R, W, H)."""

_ATTENTION = {"full_attention", "sliding_attention"}
"""Chunked attention cuts by place in the row, which two short examples could not show."""

_SHORT, _LONG = 5, 7
"""Tokens of the two examples; assumption: what leaks at all leaks to the next few tokens."""

_MORE_THAN_PADDING = 8.0
"""How much more than in a padded batch a hidden state may differ; assumption: rounding alone."""

_LEAK = 1e-6
"""Of the largest hidden state, where padding shows no difference at all.

measured: 0 for 24 kinds of tiny models that can pack; 1e-3 and more for those that cannot.
"""

_FAR = 1e-3
"""Likewise between a packed example and the same one alone.

measured: 4e-7 at most for those 24 kinds; 1e-2 and more for one that reads wrong positions.
"""


def find_packed_reader(model: PreTrainedModel | PeftModel) -> PackedReader | None:
    """How packed examples get the hidden states that each has alone; tried on two short ones.

    Args:
        model: a causal language model, with or without an adapter around it.

    Returns:
        A function to read packed rows with, or None when an example sees its neighbour, or
        positions do not start anew, whatever is tried.
    """
    inner = plain_model(model)
    layers = set(getattr(inner.config.get_text_config(), "layer_types", None) or ())
    takes_positions = "position_ids" in inspect.signature(inner.base_model.forward).parameters
    if not takes_positions or layers - _ATTENTION:
        return None
    # A model with a mask for each kind of layer may not hand its positions on to them.
    readers = (_by_positions, _by_masks) if layers else (_by_positions,)
    return next((reader for reader in readers if _keeps_apart(inner, reader)), None)


def answer_hidden(
    model: PreTrainedModel,
    read_packed: PackedReader | None,
    rows: Mapping[str, Tensor],
    positions_N: Tensor,
) -> Tensor:
    """The hidden states (N, H) at some positions of a batch, packed or padded.

    Args:
        model: a causal language model.
        read_packed: what `find_packed_reader` gave for it.
        rows: `input_ids` (R, W), beside it `position_ids` (R, W) of packed rows or the
            `attention_mask` (R, W) of padded ones.
        positions_N: (N,) int64, flat indices r * W + w.

    Returns:
        After the last norm, differentiable.
    """
    if read_packed and "position_ids" in rows:
        hidden_RWH = read_packed(model, rows["input_ids"], rows["position_ids"])
    else:
        hidden_RWH = last_hidden(model, rows["input_ids"], rows["attention_mask"])
    return hidden_RWH.flatten(0, 1).index_select(0, positions_N)


def _by_positions(model: PreTrainedModel, ids_RW: Tensor, inside_RW: Tensor) -> Tensor:
    return last_hidden(model, ids_RW, position_ids=inside_RW)


def _by_masks(model: PreTrainedModel, ids_RW: Tensor, inside_RW: Tensor) -> Tensor:
    like_RW0 = torch.empty((*ids_RW.shape, 0), dtype=model.dtype, device=ids_RW.device)
    masks = create_masks_for_generate(
        model.config, like_RW0, attention_mask=None, past_key_values=None, position_ids=inside_RW
    )
    return last_hidden(model, ids_RW, masks, inside_RW)


def _keeps_apart(model: PreTrainedModel, read: PackedReader) -> bool:
    """Another neighbour in the row changes nothing, and neither does the row itself.

    What rounding alone does is read off a padded batch, so the answer holds for every dtype.
    """
    known = find_head(model).num_used
    first, other, second = (
        (torch.arange(length) * step + step) % known
        for length, step in ((_SHORT, 3), (_SHORT, 5), (_LONG, 7))
    )
    with evaluating(model):
        alone = [_padded(model, [part])[0] for part in (first, second)]
        padded, padded_other = _padded(model, [first, second]), _padded(model, [other, second])
        packed, packed_other = (_packed(model, read, front, second) for front in (first, other))
    size = max(float(part.abs().max()) for part in alone)
    leak = _distance(packed[1::2], packed_other[1::2])
    far = _distance(packed, alone * 2)
    leak_padded = _distance(padded[1:], padded_other[1:])
    far_padded = _distance(padded, alone)
    return (
        leak <= _MORE_THAN_PADDING * leak_padded + _LEAK * size
        and far <= _MORE_THAN_PADDING * far_padded + _FAR * size
    )


def _packed(
    model: PreTrainedModel, read: PackedReader, first: Tensor, second: Tensor
) -> list[Tensor]:
    """(T, H) each: both examples with the first in front, then both with the second in front."""
    ids_RW = torch.stack((torch.cat((first, second)), torch.cat((second, first))))
    one, two = torch.arange(len(first)), torch.arange(len(second))
    inside_RW = torch.stack((torch.cat((one, two)), torch.cat((two, one))))
    front_WH, behind_WH = read(model, ids_RW.to(model.device), inside_RW.to(model.device))
    second_in_front, first_behind = behind_WH.split((len(second), len(first)))
    return [*front_WH.split((len(first), len(second))), first_behind, second_in_front]


def _padded(model: PreTrainedModel, parts: Sequence[Tensor]) -> list[Tensor]:
    """(T, H) each, out of a row for each."""
    ids_RW = pad_sequence(list(parts), batch_first=True)
    mask_RW = pad_sequence([torch.ones_like(part) for part in parts], batch_first=True)
    hidden_RWH = last_hidden(model, ids_RW.to(model.device), mask_RW.to(model.device))
    return [row[: len(part)] for row, part in zip(hidden_RWH, parts, strict=True)]


def _distance(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    pairs = zip(ours, theirs, strict=True)
    return max(float((one - two).abs().max()) for one, two in pairs)
