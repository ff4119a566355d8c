"""Laws of what a loss per token is worth: value and gradient against the divergence that it claims.

A law is a function of the claims and the loss that gives a `Finding`; its first line is its text.

Legend: N tokens, V vocabulary, T kd_temperature.
"""

from __future__ import annotations

import torch

from stillhouse.testing.measuring import (
    TokenLoss,
    gradient_of,
    largest,
    relative,
    seeded,
    value_of,
)
from stillhouse.testing.token_claims import NUM_TOKENS, VOCAB, TokenClaims
from stillhouse.testing.verdicts import Finding

_STEPS = {torch.float64: (1e-5, 1e-6), torch.float32: (2e-2, 5e-3)}
"""Type -> step of the finite differences, largest relative deviation; measured: 5 times less."""


def zero_at_equality(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """A student equal to its teacher has loss 0 and, where that is smooth, gradient 0."""
    _, teacher = claims.logits()
    worst = 0.0
    for kd_temperature in claims.kd_temperatures:
        value = value_of(loss, teacher.clone(), teacher, kd_temperature)
        worst = largest(worst, value.abs().max())
        if claims.formula.is_smooth:
            gradient = gradient_of(loss, teacher, teacher, kd_temperature)
            worst = largest(worst, gradient.abs().max())
    smooth = "value and gradient" if claims.formula.is_smooth else "value (the gradient jumps)"
    return Finding(worst, 10 * claims.bound, f"largest {smooth} at student = teacher")


def never_negative(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """The loss is never below 0, also for a student that is surer than its teacher."""
    student, teacher = claims.logits()
    sharper = teacher * 1.5
    worst = 0.0
    for kd_temperature in claims.kd_temperatures:
        for other in (student, sharper, teacher + 1e-3 * student):
            value = value_of(loss, other, teacher, kd_temperature)
            worst = largest(worst, -value.min())
    return Finding(worst, claims.bound, "how far the lowest value lies below 0")


def a_shift_of_the_student_changes_nothing(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """Adding a constant to all of a token's student logits changes neither value nor gradient."""
    return _shift(claims, loss, 8.0, 0.0)


def a_shift_of_the_teacher_changes_nothing(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """Adding a constant to all of a token's teacher logits changes neither value nor gradient."""
    return _shift(claims, loss, 0.0, 8.0)


def _shift(claims: TokenClaims, loss: TokenLoss, student_by: float, teacher_by: float) -> Finding:
    # Powers of two and coarse logits: the shift itself rounds nothing in float32.
    student, teacher = ((64 * x).round() / 64 for x in claims.logits())
    signs = torch.tensor([1.0, -1.0] * NUM_TOKENS)[:NUM_TOKENS, None].to(student)
    worst = 0.0
    for kd_temperature in claims.kd_temperatures:
        for compute in (seeded(value_of), seeded(gradient_of)):
            before = compute(loss, student, teacher, kd_temperature)
            moved = (student + student_by * signs, teacher + teacher_by * signs)
            worst = largest(worst, relative(compute(loss, *moved, kd_temperature), before))
    return Finding(worst, 10 * claims.bound, "relative change under a shift by 8 or -8")


def value_equals_the_formula(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """The value is the textbook's, computed naively in float64."""
    student, teacher = claims.logits()
    deviations = {
        kd_temperature: relative(
            value_of(loss, student, teacher, kd_temperature),
            claims.oracle(student, teacher, kd_temperature),
        )
        for kd_temperature in claims.kd_temperatures
    }
    return Finding.at_temperatures(deviations, claims.bound, "value against the formula")


def gradient_equals_the_formula(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """The gradient is that of the textbook's formula by torch's autograd in float64."""
    return _gradients(claims, loss, claims.computes_in, claims.bound)


def float32_gradient_equals_the_formula(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """In float32 the gradient is still the float64 formula's, within a stated relative bound."""
    return _gradients(claims, loss, torch.float32, claims.float32_bound)


def _gradients(claims: TokenClaims, loss: TokenLoss, dtype: torch.dtype, bound: float) -> Finding:
    student, teacher = claims.logits(dtype)
    deviations = {
        # Half the temperature doubles all logits, and what their type rounds away.
        kd_temperature: min(1.0, kd_temperature)
        * relative(
            gradient_of(loss, student, teacher, kd_temperature),
            gradient_of(claims.oracle, student.double(), teacher, kd_temperature),
        )
        for kd_temperature in claims.kd_temperatures
    }
    return Finding.at_temperatures(deviations, bound, "gradient against the formula (times T < 1)")


def gradient_equals_finite_differences(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """The gradient is that of the value that is returned, by central differences."""
    student, teacher = claims.logits()
    step, bound = _STEPS[claims.computes_in]
    weights = torch.linspace(0.5, 1.5, NUM_TOKENS, dtype=student.dtype, device=student.device)
    deviations = {}
    for kd_temperature in sorted({claims.kd_temperatures[0], claims.kd_temperatures[-1]}):
        slopes = torch.empty_like(student)
        for column in range(VOCAB):
            moved = torch.zeros_like(student)
            moved[:, column] = step
            up, down = (
                seeded(value_of)(loss, student + sign * moved, teacher, kd_temperature)
                for sign in (1, -1)
            )
            slopes[:, column] = (up - down) / (2 * step)
        gradient = seeded(gradient_of)(loss, student, teacher, kd_temperature)
        deviations[kd_temperature] = relative(gradient, slopes * weights[:, None])
    return Finding.at_temperatures(deviations, bound, "gradient against finite differences")


def temperature_acts_on_both_sides(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """The loss at T is that at 1 of both sides' logits over T, times the declared factor."""
    student, teacher = claims.logits()
    deviations = {}
    for kd_temperature in claims.kd_temperatures:
        softened = (student / kd_temperature, teacher / kd_temperature)
        factor = claims.factor(kd_temperature)
        value = seeded(value_of)(loss, student, teacher, kd_temperature)
        gradient = seeded(gradient_of)(loss, student, teacher, kd_temperature)
        deviations[kd_temperature] = largest(
            relative(value, factor * seeded(value_of)(loss, *softened, 1.0)),
            relative(gradient, factor / kd_temperature * seeded(gradient_of)(loss, *softened, 1.0)),
        )
    return Finding.at_temperatures(
        deviations, 10 * claims.bound, "value and gradient, both sides over T"
    )


def t2_scales_value_and_gradient_alike(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """The declared factor, T² or 1, stands on the value and on the gradient alike."""
    kd_temperature = max(claims.kd_temperatures)
    student, teacher = claims.logits()
    factor = claims.factor(kd_temperature)
    ratios = []
    for compute in (value_of, gradient_of):
        plain = compute(claims.oracle, student.double(), teacher, kd_temperature) / factor
        seen = compute(loss, student, teacher, kd_temperature).double()
        ratios.append(((seen * plain).sum() / plain.square().sum()).item())
    worst = largest(*(abs(ratio / factor - 1) for ratio in ratios))
    return Finding(
        worst,
        claims.bound,
        f"at T = {kd_temperature:g} the value is {ratios[0]:.4g} and the gradient {ratios[1]:.4g} "
        f"times the plain formula's, claimed is {factor:g}",
    )


def a_symmetric_divergence_is_symmetric(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """Swapping student and teacher changes nothing, where the divergence is symmetric."""
    student, teacher = claims.logits()
    deviations = {
        kd_temperature: relative(
            value_of(loss, teacher, student, kd_temperature),
            value_of(loss, student, teacher, kd_temperature),
        )
        for kd_temperature in claims.kd_temperatures
    }
    return Finding.at_temperatures(deviations, claims.bound, "student and teacher swapped")


def a_jsd_ends_in_the_two_kls(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """JSD(w)/w tends to the forward KL as w -> 0, JSD(w)/(1-w) to the reverse KL as w -> 1."""
    student, teacher = (x * 0.2 for x in claims.logits())
    weight = claims.formula.jsd_weight
    log_p, log_q = teacher.double().log_softmax(-1), student.double().log_softmax(-1)
    if weight > 0.5:
        log_p, log_q, weight = log_q, log_p, 1 - weight
    limit = (log_p.exp() * (log_p - log_q)).sum(-1)
    seen = value_of(loss, student, teacher, 1.0) / weight
    return Finding(relative(seen, limit), 0.1, f"JSD over {weight:g} against the KL at its end")
