"""Dense losses per token: the forms that every faster one is measured against.

Legend: any leading axes (...), V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.core.errors import ShapeError


def forward_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    kd_temperature: float = 1.0,
    t2_scaling: bool = True,
) -> Tensor:
    """Forward KL per token, KL(teacher || student): the student must cover the teacher's mass.

    Args:
        student_logits: (..., V), any float type; computed in float32 (float64 stays).
        teacher_logits: (..., V), same vocabulary; receives no gradient.
        kd_temperature: divides both logits, > 0, no unit. 1.0 leaves them as they are.
        t2_scaling: multiply by kd_temperature**2, so that the gradient keeps its order of size
            when the temperature changes.

    Returns:
        (...), nats per token, >= 0, neither masked nor averaged.

    Raises:
        ShapeError: the shapes differ; most often two tokenizers.

    Source: Hinton, Vinyals & Dean 2015, arXiv:1503.02531, section 2.
    """
    if student_logits.shape != teacher_logits.shape:
        raise ShapeError(
            f"student logits are {tuple(student_logits.shape)}, teacher logits "
            f"{tuple(teacher_logits.shape)}; they must have one shape",
            "two tokenizers give two vocabularies: map one to the other first",
        )
    student = (widen(student_logits) / kd_temperature).log_softmax(-1)
    teacher = (widen(teacher_logits.detach()) / kd_temperature).log_softmax(-1)
    probs = teacher.exp()
    per_token = torch.where(probs > 0, probs * (teacher - student), 0.0).sum(-1)
    return per_token * kd_temperature**2 if t2_scaling else per_token


def cross_entropy(logits: Tensor, token_ids: Tensor) -> Tensor:
    """Cross-entropy per token with the observed token, -log p(token).

    Args:
        logits: (..., V), any float type; computed in float32 (float64 stays).
        token_ids: (...), integers in [0, V).

    Returns:
        (...), nats per token, >= 0, neither masked nor averaged.
    """
    logprobs = widen(logits).log_softmax(-1)
    return -logprobs.gather(-1, token_ids.long().unsqueeze(-1)).squeeze(-1)


def widen(values: Tensor) -> Tensor:
    """`values` (any shape) in float32; float64 stays float64."""
    return values if values.dtype == torch.float64 else values.float()
