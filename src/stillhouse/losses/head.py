"""The output head of a language model as plain tensors, with a low-rank adapter beside it.

Legend: N tokens, H hidden size, V vocabulary, r rank.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import dropout, linear


@dataclass(frozen=True, slots=True)
class LowRank:
    """A LoRA adapter: h @ W.T grows by scaling * dropout(h) @ down.T @ up.T.

    Attributes:
        down_rH: (r, H).
        up_Vr: (V, r), as many rows as the head's weight.
        scaling: factor of the update, no unit.
        dropout: share of the inputs that are dropped, in [0, 1); 0 outside training.
    """

    down_rH: Tensor
    up_Vr: Tensor
    scaling: float
    dropout: float = 0.0

    def shrink(self, hidden: Tensor) -> Tensor:
        """The update's inner factor (..., r) of hidden states (..., H), differentiable."""
        kept = dropout(hidden, self.dropout) if self.dropout else hidden
        return linear(kept, self.down_rH.to(kept.dtype)) * self.scaling


@dataclass(frozen=True, slots=True)
class HeadTensors:
    """The output head of a language model: logits = softcap(logit_scale * (h @ W.T + b)).

    Attributes:
        weight_VH: (V, H); rows from `vocab_size` on only pad the vocabulary and are not used.
        bias_V: (V,) or None.
        logit_scale: factor of the logits, no unit.
        logit_softcap: c in c * tanh(logits / c), > 0, or None where there is no cap.
        vocab_size: rows in use; 0 means all.
        low_rank: an adapter on the weight, or None.
    """

    weight_VH: Tensor
    bias_V: Tensor | None = None
    logit_scale: float = 1.0
    logit_softcap: float | None = None
    vocab_size: int = 0
    low_rank: LowRank | None = None

    @property
    def num_used(self) -> int:
        """Rows of the weight that are real tokens."""
        return self.vocab_size or self.weight_VH.shape[0]

    def logits(self, hidden: Tensor) -> Tensor:
        """The dense logits (..., V) of hidden states (..., H), differentiable."""
        used = self.num_used
        bias = None if self.bias_V is None else self.bias_V[:used]
        raw = linear(hidden, self.weight_VH[:used], bias)
        if self.low_rank is not None:
            shrunk = self.low_rank.shrink(hidden)
            raw = raw + linear(shrunk, self.low_rank.up_Vr[:used].to(shrunk.dtype))
        raw = raw * self.logit_scale
        if self.logit_softcap is None:
            return raw
        return self.logit_softcap * (raw / self.logit_softcap).tanh()
