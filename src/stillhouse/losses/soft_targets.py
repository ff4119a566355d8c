"""What a loss may know of the teacher at each token: kept entries, drawn tokens, or a live model.

Legend: N tokens, V vocabulary, K kept teacher entries, S drawn tokens, H the teacher's hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stillhouse.losses.head import HeadTensors
from stillhouse.losses.precision import widen


@dataclass(frozen=True, slots=True)
class SparseTargets:
    """K kept entries and one bucket for the whole tail, as stored.

    The tail makes it a divergence: zero when equal, never negative, never above the dense value
    (f-divergences), equal to it at K = V. Top-k without a tail is none of these.

    Attributes:
        top_ids: (N, K) int64, distinct within a row; K may be 0.
        top_logprobs: (N, K) float, nats at temperature 1, normalised over the vocabulary.
        log_z: (N,) float, log of sum over the vocabulary of exp(logprob / T) at the
            kd_temperature T in use; 0 at T = 1.
    """

    top_ids: Tensor
    top_logprobs: Tensor
    log_z: Tensor

    def softened(self, kd_temperature: float, num_used: int) -> TeacherCategories:
        """The teacher over K + 1 categories, or over K = V without a tail.

        Args:
            kd_temperature: > 0, no unit; the one that `log_z` belongs to.
            num_used: V, real tokens of the vocabulary.

        Returns:
            (N, C) tensors; the tail comes last.
        """
        log_p_NK = widen(self.top_logprobs) / kd_temperature - widen(self.log_z)[:, None]
        p_NK = log_p_NK.exp()
        if self.top_ids.shape[1] >= num_used:
            return TeacherCategories(log_p_NK, p_NK, has_tail=False)
        # Of a tail of 1e-4, 1 minus a float32 sum keeps three digits, and a reverse KL takes its
        # logarithm. Apple's GPUs have no float64.
        exact = p_NK.dtype if p_NK.device.type == "mps" else torch.float64
        exact_NK = self.top_logprobs.to(exact) / kd_temperature - self.log_z.to(exact)[:, None]
        tail_N1 = (1 - exact_NK.exp().sum(-1, keepdim=True)).clamp_min(0).to(p_NK.dtype)
        # A tail that rounding took away still has a log: half a step below 1 is what it had.
        resolution = torch.finfo(p_NK.dtype).eps / 2
        log_tail_N1 = tail_N1.clamp_min(resolution).log()
        return TeacherCategories(
            torch.cat((log_p_NK, log_tail_N1), 1), torch.cat((p_NK, tail_N1), 1), has_tail=True
        )


@dataclass(frozen=True, slots=True)
class TeacherCategories:
    """The teacher's half of `divergences.Categories`.

    Attributes:
        log_p: (N, C) nats.
        p: (N, C) probabilities; 0 where rounding leaves no tail, though log_p stays finite.
        has_tail: the last category is the tail.
    """

    log_p: Tensor
    p: Tensor
    has_tail: bool


@dataclass(frozen=True, slots=True)
class SampledTargets:
    """Tokens drawn from the teacher, each with the probability that it stands for.

    Good for objectives that are linear in the teacher alone: their gradient is unbiased. A token
    may stand twice in a row, and a place of probability 0 is empty.

    Attributes:
        ids: (N, S) int64.
        probs: (N, S) float >= 0 at the kd_temperature in use; rows sum to about 1.
        entropy: (N,) float, nats, of the teacher's whole distribution at that kd_temperature.

    Source: Anshumann et al. 2025, arXiv:2503.16870, section 4.
    """

    ids: Tensor
    probs: Tensor
    entropy: Tensor


@dataclass(frozen=True, slots=True)
class LiveTeacher:
    """The teacher's own hidden states and head; its logits are made chunk by chunk.

    Attributes:
        hidden_NH: (N, H), H is the teacher's; receives no gradient.
        head: the teacher's, over the same vocabulary as the student's.
    """

    hidden_NH: Tensor
    head: HeadTensors


SoftTargets = SparseTargets | SampledTargets | LiveTeacher
