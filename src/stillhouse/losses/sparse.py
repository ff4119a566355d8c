"""Divergences of dense student logits against what a store keeps of the teacher.

Legend: N tokens, V vocabulary, K kept teacher entries, S drawn tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.losses.divergences import LOWEST_LOGPROB, Categories, Divergence, differentiable
from stillhouse.losses.precision import widen
from stillhouse.losses.soft_targets import SampledTargets, SparseTargets


def sparse_divergence(
    divergence: Divergence,
    student_logits_NV: Tensor,
    targets: SparseTargets,
    *,
    kd_temperature: float = 1.0,
    t2_scaling: bool = True,
) -> Tensor:
    """A divergence per token over K + 1 categories: the teacher's kept entries and its tail.

    The student's tail is a sum over the other ids in log space, so nothing cancels.

    Args:
        divergence: which one, with its settings.
        student_logits_NV: (N, V), any float type; computed in float32 (float64 stays). Columns
            that only pad the vocabulary are cut off by the caller.
        targets: N tokens; receives no gradient.
        kd_temperature: divides both logits, > 0, no unit.
        t2_scaling: multiply by kd_temperature**2, value and gradient.

    Returns:
        (N,), nats per token, >= 0 up to rounding, neither masked nor averaged.

    Source: the divergence's own, on a coarser partition of the vocabulary; for f-divergences the
    log-sum inequality bounds it by the dense value.
    """
    student_NV = (widen(student_logits_NV) / kd_temperature).log_softmax(-1)
    teacher = targets.softened(kd_temperature, student_NV.shape[1])
    log_q_NC = student_NV.gather(-1, targets.top_ids)
    if teacher.has_tail:
        others_NV = student_NV.clamp_min(LOWEST_LOGPROB).scatter(-1, targets.top_ids, -torch.inf)
        log_q_NC = torch.cat((log_q_NC, others_NV.logsumexp(-1, keepdim=True)), 1)
    student = log_q_NC.detach().clamp_min(LOWEST_LOGPROB)
    categories = Categories(
        teacher.log_p.clamp_min(LOWEST_LOGPROB), teacher.p, student, student.exp(), teacher.has_tail
    )
    per_token = differentiable(divergence, categories, log_q_NC)
    return per_token * kd_temperature**2 if t2_scaling else per_token


def sampled_forward_kl(
    student_logits_NV: Tensor,
    targets: SampledTargets,
    *,
    kd_temperature: float = 1.0,
    t2_scaling: bool = True,
) -> Tensor:
    """Forward KL per token from tokens drawn from the teacher: right on average, value and slope.

    Args:
        student_logits_NV: (N, V), any float type; computed in float32 (float64 stays).
        targets: N tokens at `kd_temperature`; receives no gradient.
        kd_temperature: divides the logits, > 0, no unit.
        t2_scaling: multiply by kd_temperature**2, value and gradient.

    Returns:
        (N,), nats per token; a single one may be negative.

    Source: Anshumann et al. 2025, arXiv:2503.16870, section 4.
    """
    student_NV = (widen(student_logits_NV) / kd_temperature).log_softmax(-1)
    log_q_NS = student_NV.gather(-1, targets.ids).clamp_min(LOWEST_LOGPROB)
    per_token = -(targets.probs * log_q_NS).sum(-1) - targets.entropy
    return per_token * kd_temperature**2 if t2_scaling else per_token
