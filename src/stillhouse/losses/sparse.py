"""Forward KL against stored soft targets: K kept entries and one bucket for the whole tail.

The tail makes it a divergence: zero when equal, never negative, never above the dense value,
equal to it at K = V. Top-k without a tail is none of these.

Legend: N tokens, V vocabulary, K kept teacher entries.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stillhouse.losses.divergences import widen


@dataclass(frozen=True, slots=True)
class SparseTargets:
    """The teacher's distribution at N tokens, as stored.

    Attributes:
        token_ids: (N,) int64, the observed tokens.
        top_ids: (N, K) int64, distinct within a row; K may be 0.
        top_logprobs: (N, K) float, nats at temperature 1.
        log_z: (N,) float, log of sum over the vocabulary of exp(logprob / T) at the
            kd_temperature T in use; 0 at T = 1.
    """

    token_ids: Tensor
    top_ids: Tensor
    top_logprobs: Tensor
    log_z: Tensor

    @classmethod
    def hard(cls, token_ids: Tensor) -> SparseTargets:
        """Targets without a teacher, for cross-entropy alone; `token_ids` is (N,)."""
        nothing = token_ids.new_zeros((len(token_ids), 0))
        zeros = torch.zeros(token_ids.shape, device=token_ids.device)
        return cls(token_ids, nothing, nothing.float(), zeros)


def teacher_log_probs(targets: SparseTargets, kd_temperature: float) -> tuple[Tensor, Tensor]:
    """The teacher's softened logprobs of its kept entries, and the probability of its tail.

    Args:
        targets: N tokens; log_z belongs to `kd_temperature`.
        kd_temperature: > 0, no unit.

    Returns:
        (N, K) nats, and (N,) probabilities >= 0: the rest to 1, where rounding may not go below.
    """
    top_logprobs_NK = widen(targets.top_logprobs) / kd_temperature - widen(targets.log_z)[:, None]
    return top_logprobs_NK, (1 - top_logprobs_NK.exp().sum(-1)).clamp_min(0)


def kept_terms(teacher_NK: Tensor, student_NK: Tensor) -> Tensor:
    """Sum of p (log p - log q) over the kept entries.

    Args:
        teacher_NK: (N, K) logprobs, nats.
        student_NK: (N, K) logprobs, nats.

    Returns:
        (N,) nats; 0 from entries whose p is 0.
    """
    probs_NK = teacher_NK.exp()
    return torch.where(probs_NK > 0, probs_NK * (teacher_NK - student_NK), 0.0).sum(-1)


def sparse_forward_kl(
    student_logits_NV: Tensor,
    targets: SparseTargets,
    *,
    kd_temperature: float = 1.0,
    t2_scaling: bool = True,
) -> Tensor:
    """Forward KL per token over K + 1 categories: the teacher's kept entries and its tail.

    The student's tail is a sum over the other ids in log space, so nothing cancels.

    Args:
        student_logits_NV: (N, V), any float type; computed in float32 (float64 stays). Columns
            that only pad the vocabulary are cut off by the caller.
        targets: N tokens; receives no gradient.
        kd_temperature: divides both logits, > 0, no unit.
        t2_scaling: multiply by kd_temperature**2, value and gradient.

    Returns:
        (N,), nats per token, >= 0 up to rounding, neither masked nor averaged.

    Source: Hinton, Vinyals & Dean 2015, arXiv:1503.02531, on a coarser partition of the
    vocabulary; the log-sum inequality bounds it by the dense value.
    """
    student_NV = (widen(student_logits_NV) / kd_temperature).log_softmax(-1)
    top_logprobs_NK, tail_prob_N = teacher_log_probs(targets, kd_temperature)
    kept_NK = student_NV.gather(-1, targets.top_ids)
    per_token = kept_terms(top_logprobs_NK, kept_NK)
    if targets.top_ids.shape[1] < student_NV.shape[1]:
        tail_N = student_NV.scatter(-1, targets.top_ids, -torch.inf).logsumexp(-1)
        per_token = per_token + torch.xlogy(tail_prob_N, tail_prob_N) - tail_prob_N * tail_N
    return per_token * kd_temperature**2 if t2_scaling else per_token
