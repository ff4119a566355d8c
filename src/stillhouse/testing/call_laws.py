"""Laws of how a loss per token may be called: with which rows, types, sizes of logits and leaves.

A law is a function of the claims and the loss that gives a `Finding`; its first line is its text.

Legend: N tokens, V vocabulary, T kd_temperature.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.testing.measuring import (
    TokenLoss,
    gradient_of,
    largest,
    relative,
    seeded,
    value_of,
)
from stillhouse.testing.token_claims import TokenClaims
from stillhouse.testing.verdicts import Finding


def extreme_logits_stay_finite(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """Probabilities too small for float32 give the formula's value and gradient, never NaN."""
    student, teacher = extreme_logits(claims)
    deviations = {}
    for kd_temperature in claims.kd_temperatures:
        found = []
        for compute in (value_of, gradient_of):
            seen = compute(loss, student, teacher, kd_temperature).double()
            expected = compute(claims.oracle, student.double(), teacher, kd_temperature)
            if not claims.keeps_all:
                # Kept entries that sum to 1 - 1e-90 say nothing of their tail: finite is enough.
                expected = torch.where(seen.isfinite(), seen, expected)
            # A gradient of 1e-5 that is off by 1e-8 is as good as right.
            found.append((seen - expected).norm() / expected.norm().clamp_min(1.0))
        deviations[kd_temperature] = largest(*found)
    return Finding.at_temperatures(
        deviations, 100 * claims.float32_bound, "logits 200 apart, in float32"
    )


def extreme_logits(claims: TokenClaims) -> tuple[Tensor, Tensor]:
    """Student and teacher logits, (N, V) float32 each, some 200 apart and at other tokens."""
    student, teacher = claims.logits(torch.float32)
    teacher[:, 5] += 200.0
    student[:4, 7] += 200.0
    return student, teacher


def rows_are_independent(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """A token's loss does not depend on the tokens beside it, on their number or their order."""
    student, teacher = claims.logits()
    kd_temperature = claims.kd_temperatures[-1]
    whole = value_of(loss, student, teacher, kd_temperature)
    worst = 0.0
    for rows in (slice(0, 1), slice(2, 3), slice(1, 3), slice(0, 3), slice(2, 7)):
        part = value_of(loss, student[rows], teacher[rows], kd_temperature)
        worst = largest(worst, relative(part, whole[rows]))
    turned = value_of(loss, student.flip(0), teacher.flip(0), kd_temperature).flip(0)
    return Finding(
        largest(worst, relative(turned, whole)), claims.bound, "1, 2, 3 and 5 tokens against all 7"
    )


def no_token_is_no_error(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """Without a token there is no value, but a graph: nothing to learn is no error."""
    student, teacher = (x[:0] for x in claims.logits())
    gradient = gradient_of(loss, student, teacher, claims.kd_temperatures[0])
    return Finding(float(gradient.numel()), 0.0, "numbers in the gradient of no token")


def half_precision_is_computed_in_float32(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """bfloat16 logits give the float32 value of the same numbers, and its gradient rounded."""
    student, teacher = (x.bfloat16() for x in claims.logits(torch.float32))
    wide = (student.float(), teacher.float())
    value_off, gradient_off = 0.0, 0.0
    for kd_temperature in claims.kd_temperatures:
        value = seeded(value_of)(loss, student, teacher, kd_temperature)
        if value.dtype != torch.float32:
            return Finding(float("nan"), 1.0, f"the value is {value.dtype}")
        value_off = largest(
            value_off, relative(value, seeded(value_of)(loss, *wide, kd_temperature))
        )
        gradient = seeded(gradient_of)(loss, student, teacher, kd_temperature)
        rounded = relative(gradient, seeded(gradient_of)(loss, *wide, kd_temperature))
        gradient_off = largest(gradient_off, rounded)
    worst = largest(value_off / claims.float32_bound, gradient_off / claims.bfloat16_bound)
    what = f"in bounds; the value is off by {value_off:.2g}, the gradient by {gradient_off:.2g}"
    return Finding(worst, 1.0, what)


def the_teacher_gets_no_gradient(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """The teacher is a target: nothing flows back into its logits."""
    student, teacher = (x.requires_grad_() for x in claims.logits())
    value_of(loss, student, teacher, claims.kd_temperatures[0]).sum().backward()
    worst = 0.0 if teacher.grad is None else teacher.grad.abs().max().item()
    return Finding(worst, 0.0, "largest gradient at the teacher's logits")


def the_logits_stay_as_they_were(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """Neither the value nor the gradient is written over the logits that were passed in."""
    student, teacher = claims.logits()
    leaf, kept = student.clone().requires_grad_(), teacher.clone()
    loss(leaf, kept, claims.kd_temperatures[-1]).sum().backward()
    worst = largest((leaf.detach() - student).abs().max(), (kept - teacher).abs().max())
    return Finding(worst, 0.0, "largest change of a logit by calling the loss")
