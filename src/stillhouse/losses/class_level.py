"""Divergences over named classes, such as the answers of a question with few answers.

Legend: N examples, V vocabulary, C classes.
"""

from __future__ import annotations

from torch import Tensor

from stillhouse.core.errors import ShapeError
from stillhouse.losses.divergences import Divergence, measure
from stillhouse.losses.precision import widen


def class_divergence(
    divergence: Divergence,
    student_logits_NC: Tensor,
    teacher_probs_NC: Tensor,
    *,
    kd_temperature: float = 1.0,
    t2_scaling: bool = True,
) -> Tensor:
    """A divergence per example over C classes; whatever is no class takes no part.

    Args:
        divergence: which one, with its settings.
        student_logits_NC: (N, C), a score of each class: a logit, or the log-likelihood of its
            text; any float type, computed in float32 (float64 stays).
        teacher_probs_NC: (N, C), >= 0, of any positive sum; receives no gradient.
        kd_temperature: softens both, > 0, no unit.
        t2_scaling: multiply by kd_temperature**2, value and gradient.

    Returns:
        (N,), nats per example, >= 0 up to rounding, neither masked nor averaged.

    Raises:
        ShapeError: the shapes differ.

    Source: Hinton, Vinyals & Dean 2015, arXiv:1503.02531, section 2.
    """
    if student_logits_NC.shape != teacher_probs_NC.shape:
        raise ShapeError(
            f"student scores are {tuple(student_logits_NC.shape)}, teacher probabilities "
            f"{tuple(teacher_probs_NC.shape)}; they must have one shape",
            "both sides must name the same classes in the same order",
        )
    student_NC = (widen(student_logits_NC) / kd_temperature).log_softmax(-1)
    teacher_NC = (widen(teacher_probs_NC.detach()).log() / kd_temperature).log_softmax(-1)
    per_example = measure(divergence, teacher_NC, student_NC)
    return per_example * kd_temperature**2 if t2_scaling else per_example
