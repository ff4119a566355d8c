"""Runs a loss per token on trial logits and compares what it gives.

Legend: N tokens, V vocabulary, T kd_temperature.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from stillhouse.core.errors import ShapeError

TokenLoss = Callable[[Tensor, Tensor, float], Tensor]
"""(student logits (N, V), teacher logits (N, V), kd_temperature) -> (N,) nats per token."""
Compute = Callable[[TokenLoss, Tensor, Tensor, float], Tensor]
"""A loss, student logits, teacher logits and T -> a tensor of values or gradients."""


def value_of(
    loss: TokenLoss, student_NV: Tensor, teacher_NV: Tensor, kd_temperature: float
) -> Tensor:
    """The loss per token, refused where it is not one value for each token.

    Args:
        loss: what is on trial.
        student_NV: (N, V) logits.
        teacher_NV: (N, V) logits.
        kd_temperature: > 0.

    Returns:
        (N,) nats.

    Raises:
        ShapeError: the loss gave another shape.
    """
    # Copies, so that a loss that writes into its logits breaks one law and not all of them.
    value_N = loss(student_NV.clone(), teacher_NV.clone(), kd_temperature)
    if value_N.shape != student_NV.shape[:1]:
        raise ShapeError(
            f"the loss gave {tuple(value_N.shape)} for {len(student_NV)} tokens",
            "give one value for each token; `one_by_one` wraps a loss that gives their mean",
        )
    return value_N


def gradient_of(
    loss: TokenLoss, student_NV: Tensor, teacher_NV: Tensor, kd_temperature: float
) -> Tensor:
    """The gradient of a weighted sum of the loss, so that what comes in from above counts.

    Args:
        loss: what is on trial.
        student_NV: (N, V) logits.
        teacher_NV: (N, V) logits.
        kd_temperature: > 0.

    Returns:
        (N, V), in the type of the student's logits.
    """
    leaf = student_NV.detach().clone().requires_grad_()
    value_N = value_of(loss, leaf, teacher_NV, kd_temperature)
    weights = torch.linspace(0.5, 1.5, len(leaf), dtype=value_N.dtype, device=leaf.device)
    return torch.autograd.grad(value_N, leaf, weights)[0]


def one_by_one(mean_loss: TokenLoss) -> TokenLoss:
    """A loss per token out of one that gives the mean over tokens: one call for each token.

    Args:
        mean_loss: as a `TokenLoss`, but with one scalar for all tokens.

    Returns:
        The same loss, one value for each token.
    """

    def loss(student_NV: Tensor, teacher_NV: Tensor, kd_temperature: float) -> Tensor:
        if not len(student_NV):
            return student_NV.sum(-1)
        rows = zip(student_NV.split(1), teacher_NV.split(1), strict=True)
        return torch.stack([mean_loss(*pair, kd_temperature).reshape(()) for pair in rows])

    return loss


def seeded(compute: Compute) -> Compute:
    """`value_of` or `gradient_of` from one fixed seed, so that a sampled loss draws the same."""

    def run(loss: TokenLoss, student: Tensor, teacher: Tensor, kd_temperature: float) -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            return compute(loss, student, teacher, kd_temperature)

    return run


def relative(seen: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what is expected; NaN where any number is NaN."""
    difference = (seen.double() - expected.double()).norm()
    return (difference / expected.double().norm().clamp_min(torch.finfo().tiny)).item()


def largest(*values: float | Tensor) -> float:
    """The largest of numbers and scalars; NaN where one of them is NaN."""
    numbers = [x.item() if isinstance(x, Tensor) else x for x in values]
    return math.nan if any(map(math.isnan, numbers)) else max(numbers)
