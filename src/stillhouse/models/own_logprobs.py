"""How likely a model finds each token that it writes greedily, heard beside `generate`.

Legend: B rows of a batch, T tokens written, V ids of the model's head.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import LogitsProcessor


class GreedyLogprobs(LogitsProcessor):
    """Keeps the log-probability of the likeliest token of every step; the last processor in line.

    One number a row and step is kept, never a row of the vocabulary. Where a grammar stands before
    it, probabilities are those among the tokens that it allows.
    """

    def __init__(self) -> None:
        self._steps_TB: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002
        """The scores (B, V) as they are, with `input_ids` (B, T); any float type."""
        scores_BV = scores.float()
        self._steps_TB.append(scores_BV.amax(-1) - scores_BV.logsumexp(-1))
        return scores

    def logprobs(self) -> NDArray[np.float32]:
        """(B, T) nats, <= 0; what follows a row's end says nothing."""
        found: NDArray[np.float32] = torch.stack(self._steps_TB, 1).clamp(max=0.0).cpu().numpy()
        return found
