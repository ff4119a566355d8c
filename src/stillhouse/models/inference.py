"""What generating and scoring share: batches of like length, eval mode, the plain model.

Legend: B examples of a batch, T token position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

if TYPE_CHECKING:
    from peft import PeftModel


def batches_by_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Indices in batches of like length, longest first, so that too little memory shows at once.

    Args:
        lengths: tokens of each item.
        batch_size: items of a batch, >= 1.

    Yields:
        Indices of one batch; each index stands in one batch.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def pad_batch(
    rows: Sequence[NDArray[np.int32]], pad_id: int, *, left: bool = False
) -> tuple[Tensor, Tensor]:
    """Rows of unequal length as one tensor.

    Args:
        rows: (length,) token ids each.
        pad_id: fills the rest; masked, so any id will do.
        left: fill before the row (to generate after it) instead of behind it (to score it).

    Returns:
        ids (B, T) and attention mask (B, T), both int64; the mask is 1 on tokens.
    """
    width = max(len(row) for row in rows)
    ids_BT = np.full((len(rows), width), pad_id, dtype=np.int64)
    mask_BT = np.zeros((len(rows), width), dtype=np.int64)
    for index, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        ids_BT[index, place] = row
        mask_BT[index, place] = 1
    return torch.from_numpy(ids_BT), torch.from_numpy(mask_BT)


def plain_model(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """The Hugging Face model itself; a LoRA adapter in it stays active."""
    inner = getattr(model, "get_base_model", None)
    return inner() if callable(inner) else model  # type: ignore[return-value]


def is_encoder_decoder(model: PreTrainedModel | PeftModel) -> bool:
    """Whether it reads a prompt with an encoder and writes with a decoder, as T5 does."""
    return bool(plain_model(model).config.is_encoder_decoder)


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Eval mode without gradients; each module's own mode is put back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
