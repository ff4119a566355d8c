"""Hidden states of trees of tokens, in which answers to one prompt share what they begin with.

Attention sees a token's ancestors alone, at the positions that it has in a conversation by itself.
Models that mask by themselves, or that keep a state from token to token, cannot read trees; it is
tried on a small one.

Legend: R rows, W width of a row, H hidden size, T tokens of one conversation.
"""

from __future__ import annotations

import inspect

import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from stillhouse.models.head import find_head, last_hidden
from stillhouse.models.inference import evaluating, plain_model

_LAYERS = {"full_attention", "sliding_attention"}
_MASKS = {"sdpa", "eager"}
"""Implementations of attention that take any mask."""

_STEM, _BRANCH = 5, 3
"""Tokens of the tree that is tried; assumption: what leaks at all leaks to the next few tokens."""

_LEAK, _FAR = 1e-6, 1e-3
"""Of the largest hidden state: what another branch may change, and what reading alone may.

measured: as models/packing.py has them, whose masks are of the same kind.
"""
_ROUNDING = 16
"""Either may be so many steps of the dtype; assumption: sums are taken in another order."""


def read_trees(
    model: PreTrainedModel | PeftModel, ids_RW: Tensor, depths_RW: Tensor, ends_RW: Tensor
) -> Tensor:
    """The hidden states (R, W, H) that the head sees.

    Args:
        model: for which `can_read_trees` holds.
        ids_RW: (R, W) int64, trees in depth-first order, several in a row or one.
        depths_RW: (R, W) int64, the position of each token in its conversation.
        ends_RW: (R, W) int64, one behind the last token that follows it; its own place and one
            for padding.

    Returns:
        Differentiable, as each conversation has them alone.
    """
    config = plain_model(model).config.get_text_config()
    dtype = plain_model(model).dtype
    place_W = torch.arange(ids_RW.shape[1], device=ids_RW.device)
    sees_RWW = (place_W <= place_W[:, None]) & (place_W[:, None] < ends_RW[:, None, :])
    apart_RWW = depths_RW[:, :, None] - depths_RW[:, None, :]
    masks = {
        kind: _as_wanted(sees_RWW & (apart_RWW < window), config, dtype)
        for kind, window in _windows(config).items()
    }
    mask = masks if getattr(config, "layer_types", None) else next(iter(masks.values()))
    return last_hidden(model, ids_RW, mask, depths_RW)


def can_read_trees(model: PreTrainedModel | PeftModel) -> bool:
    """Whether branches change nothing in each other, tried on a tree of two.

    Args:
        model: a causal language model, with or without an adapter around it.

    Returns:
        False where each answer has to be read with a prompt of its own.
    """
    inner = plain_model(model)
    config = inner.config.get_text_config()
    takes_positions = "position_ids" in inspect.signature(inner.base_model.forward).parameters
    layers = set(getattr(config, "layer_types", None) or ())
    if not takes_positions or layers - _LAYERS or inner.config._attn_implementation not in _MASKS:
        return False
    known = find_head(model).num_used
    stem_T, first_T, other_T, second_T = (
        (torch.arange(length) * step + step) % known
        for length, step in ((_STEM, 3), (_BRANCH, 5), (_BRANCH, 2), (_BRANCH, 7))
    )
    with evaluating(model):
        alone = [_alone(inner, torch.cat((stem_T, own))) for own in (first_T, second_T)]
        tree, changed = (_tree(inner, stem_T, own, second_T) for own in (first_T, other_T))
    size = float(alone[0].abs().max())
    rounding = _ROUNDING * torch.finfo(tree.dtype).eps
    leak = float((tree - changed)[_STEM + _BRANCH :].abs().max())
    read_alone = torch.cat((alone[0], alone[1][_STEM:]))
    far = float((tree - read_alone).abs().max())
    return leak <= max(_LEAK, rounding) * size and far <= max(_FAR, rounding) * size


def _windows(config: PreTrainedConfig) -> dict[str, int]:
    """Kind of layer -> how far back it looks, in positions."""
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None) or torch.iinfo(torch.int64).max
    if not kinds:
        return {"every": window}
    far = torch.iinfo(torch.int64).max
    return {kind: window if kind == "sliding_attention" else far for kind in sorted(kinds)}


def _as_wanted(sees_RWW: Tensor, config: PreTrainedConfig, dtype: torch.dtype) -> Tensor:
    """(R, 1, W, W): true for what is seen, or what is added to scores in plain attention."""
    sees_R1WW = sees_RWW[:, None]
    if config._attn_implementation == "sdpa":
        return sees_R1WW
    hidden = torch.zeros((), dtype=dtype, device=sees_RWW.device)
    return torch.where(sees_R1WW, hidden, torch.finfo(dtype).min)


def _tree(model: PreTrainedModel, stem_T: Tensor, first_T: Tensor, second_T: Tensor) -> Tensor:
    """(T, H) of a stem and its two branches."""
    depth, stem, width = len(stem_T) + len(first_T), len(stem_T), _STEM + 2 * _BRANCH
    depths_W = torch.cat((torch.arange(depth), torch.arange(stem, depth)))
    ends_W = torch.cat(
        (
            torch.full((stem,), width),
            torch.full((depth - stem,), depth),
            torch.full((_BRANCH,), width),
        )
    )
    ids_W = torch.cat((stem_T, first_T, second_T))
    given = (each[None].to(model.device) for each in (ids_W, depths_W, ends_W))
    return read_trees(model, *given)[0]


def _alone(model: PreTrainedModel, ids_T: Tensor) -> Tensor:
    ids_1T = ids_T[None].to(model.device)
    return last_hidden(model, ids_1T, torch.ones_like(ids_1T))[0]
