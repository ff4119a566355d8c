"""Dense losses per token from whole logits: the forms that every faster one is measured against.

Legend: any leading axes (...), V vocabulary.
"""

from __future__ import annotations

from torch import Tensor

from stillhouse.core.errors import ShapeError
from stillhouse.losses.divergences import (
    AKL,
    JSD,
    TVD,
    AlphaBeta,
    Divergence,
    ForwardKL,
    ReverseKL,
    SkewKL,
    SkewReverseKL,
    measure,
)
from stillhouse.losses.precision import require_temperature, widen


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


def dense_divergence(
    divergence: Divergence,
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    kd_temperature: float = 1.0,
    t2_scaling: bool = True,
) -> Tensor:
    """A divergence per token over the whole vocabulary; the named functions below all mean this.

    Args:
        divergence: which one, with its settings.
        student_logits: (..., V), any float type; computed in float32 (float64 stays). -inf marks
            a token that cannot be.
        teacher_logits: (..., V), same vocabulary; receives no gradient.
        kd_temperature: divides both logits, > 0, no unit. 1.0 leaves them as they are.
        t2_scaling: multiply by kd_temperature**2, value and gradient, so that the gradient keeps
            its order of size when the temperature changes.

    Returns:
        (...), nats per token, >= 0 up to rounding, neither masked nor averaged.

    Raises:
        ShapeError: the shapes differ; most often two tokenizers.
        UsageError: kd_temperature is not above 0.

    Source: Hinton, Vinyals & Dean 2015, arXiv:1503.02531, section 2, for the temperature; the
    divergences name their own.
    """
    if student_logits.shape != teacher_logits.shape:
        raise ShapeError(
            f"student logits are {tuple(student_logits.shape)}, teacher logits "
            f"{tuple(teacher_logits.shape)}; they must have one shape",
            "two tokenizers give two vocabularies: map one to the other first; cut columns off "
            "that only pad the vocabulary",
        )
    require_temperature(kd_temperature)
    student = (widen(student_logits) / kd_temperature).log_softmax(-1)
    teacher = (widen(teacher_logits.detach()) / kd_temperature).log_softmax(-1)
    per_token = measure(divergence, teacher, student)
    return per_token * kd_temperature**2 if t2_scaling else per_token


def forward_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    kd_temperature: float = 1.0,
    t2_scaling: bool = True,
) -> Tensor:
    """KL(teacher || student) per token, as `dense_divergence` of (..., V) logits."""
    return dense_divergence(
        ForwardKL(),
        student_logits,
        teacher_logits,
        kd_temperature=kd_temperature,
        t2_scaling=t2_scaling,
    )


def reverse_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    kd_temperature: float = 1.0,
    t2_scaling: bool = True,
) -> Tensor:
    """KL(student || teacher) per token, as `dense_divergence` of (..., V) logits."""
    return dense_divergence(
        ReverseKL(),
        student_logits,
        teacher_logits,
        kd_temperature=kd_temperature,
        t2_scaling=t2_scaling,
    )


def jsd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    jsd_weight: float = 0.5,
    kd_temperature: float = 1.0,
    t2_scaling: bool = True,
) -> Tensor:
    """Generalised Jensen-Shannon per token, as `dense_divergence` of (..., V) logits.

    `jsd_weight` in (0, 1) is the teacher's share of the mixture.
    """
    return dense_divergence(
        JSD(jsd_weight),
        student_logits,
        teacher_logits,
        kd_temperature=kd_temperature,
        t2_scaling=t2_scaling,
    )


def skew_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    skew: float = 0.1,
    kd_temperature: float = 1.0,
    t2_scaling: bool = True,
) -> Tensor:
    """KL(teacher || mixture) per token, as `dense_divergence` of (..., V) logits.

    `skew` in (0, 1) is the teacher's share of the mixture.
    """
    return dense_divergence(
        SkewKL(skew),
        student_logits,
        teacher_logits,
        kd_temperature=kd_temperature,
        t2_scaling=t2_scaling,
    )


def skew_reverse_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    skew: float = 0.1,
    kd_temperature: float = 1.0,
    t2_scaling: bool = True,
) -> Tensor:
    """KL(student || mixture) per token, as `dense_divergence` of (..., V) logits.

    `skew` in (0, 1) is the student's share of the mixture.
    """
    return dense_divergence(
        SkewReverseKL(skew),
        student_logits,
        teacher_logits,
        kd_temperature=kd_temperature,
        t2_scaling=t2_scaling,
    )


def tvd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    kd_temperature: float = 1.0,
    t2_scaling: bool = True,
) -> Tensor:
    """Total variation distance per token, as `dense_divergence` of (..., V) logits."""
    return dense_divergence(
        TVD(), student_logits, teacher_logits, kd_temperature=kd_temperature, t2_scaling=t2_scaling
    )


def akl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    head_mass: float = 0.5,
    kd_temperature: float = 1.0,
    t2_scaling: bool = True,
) -> Tensor:
    """Adaptive KL per token, as `dense_divergence` of (..., V) logits.

    `head_mass` in (0, 1) says which of the teacher's most likely tokens are its head.
    """
    return dense_divergence(
        AKL(head_mass),
        student_logits,
        teacher_logits,
        kd_temperature=kd_temperature,
        t2_scaling=t2_scaling,
    )


def alpha_beta(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    alpha: float = 0.2,
    beta: float = 0.7,
    kd_temperature: float = 1.0,
    t2_scaling: bool = True,
) -> Tensor:
    """The alpha-beta divergence per token, as `dense_divergence` of (..., V) logits.

    `alpha` and `beta` are >= 0, the larger at least 0.1.
    """
    return dense_divergence(
        AlphaBeta(alpha, beta),
        student_logits,
        teacher_logits,
        kd_temperature=kd_temperature,
        t2_scaling=t2_scaling,
    )
