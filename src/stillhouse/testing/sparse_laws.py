"""The laws of targets that hold less than the teacher's distribution: kept entries, or draws.

Legend: N tokens, V vocabulary, K kept entries, R repeats.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.core.errors import StillhouseError
from stillhouse.testing.measuring import (
    Compute,
    TokenLoss,
    gradient_of,
    largest,
    relative,
    value_of,
)
from stillhouse.testing.token_claims import VOCAB, TokenClaims
from stillhouse.testing.verdicts import Finding

_TAIL = 1000.0
"""Times the bound; measured: a tail of 1e-9, had as 1 minus the kept ones, is right to 2e-7."""
_REPEATS = 400
_DIRECTIONS = 8
_SIGMAS = 5.0
"""assumption: one of 63 fair means lies beyond 5 standard errors once in 27,000 trials."""


def a_tail_uses_the_true_log_z(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """At T the tail's mass is that of its tokens softened one by one, not of one bucket."""
    student, teacher = claims.logits()
    # Kept entries hold nearly all at T = 1 and far less at T = 2, where a long tail fills up.
    teacher = torch.full_like(teacher, -6.0)
    teacher[:, : claims.top_k] = torch.linspace(1.0, 2.0, claims.top_k).to(teacher)
    worst = 0.0
    for kd_temperature in claims.kd_temperatures:
        expected = claims.oracle(student, teacher, kd_temperature)
        seen = value_of(loss, student, teacher, kd_temperature)
        worst = largest(worst, relative(seen, expected))
    return Finding(worst, _TAIL * claims.bound, "a flat, long tail against the formula")


def sparse_is_never_above_dense(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """Merging entries never raises an f-divergence: the sparse value is at most the dense one."""
    student, teacher = claims.logits()
    worst = -torch.inf
    for kd_temperature in claims.kd_temperatures:
        dense = _dense(claims, student, teacher, kd_temperature)
        excess = value_of(loss, student, teacher, kd_temperature).double() - dense
        worst = largest(worst, (excess / dense).max().item())
    return Finding(worst, claims.bound, "how far the highest value lies above the dense one")


def more_kept_entries_come_closer(claims: TokenClaims, loss: TokenLoss) -> Finding:  # noqa: ARG001
    """An f-divergence grows with k; at k = V value and gradient are the dense ones."""
    assert claims.at_top_k is not None
    student, teacher = claims.logits()
    worst = 0.0
    for kd_temperature in claims.kd_temperatures:
        before = student.new_zeros(len(student), dtype=torch.float64)
        for top_k in (1, 2, 5, 10, 20, VOCAB - 1, VOCAB):
            value = value_of(claims.at_top_k(top_k), student, teacher, kd_temperature).double()
            if claims.formula.is_f_divergence:
                worst = largest(
                    worst, ((before - value) / value.abs().clamp_min(1e-3)).max().item()
                )
            before = value
        whole = claims.at_top_k(VOCAB)
        dense = _dense(claims, student, teacher, kd_temperature)
        worst = largest(worst, relative(before, dense))
        oracle = _gradient_of_dense(claims, student, teacher, kd_temperature)
        worst = largest(
            worst, relative(gradient_of(whole, student, teacher, kd_temperature), oracle)
        )
    return Finding(worst, _TAIL * claims.bound, "k = 1, 2, 5, 10, 20, V - 1 and V")


def sampled_targets_are_unbiased(claims: TokenClaims, loss: TokenLoss) -> Finding:
    """Draws give the dense value and gradient on average; what they bias is refused."""
    # Ordinary, flat rows: of a token that is hardly ever drawn no mean can be trusted.
    student, teacher = (0.5 * x.to(claims.computes_in) for x in claims.logits(torch.float32))
    if not claims.formula.is_linear:
        return _refused(claims, loss, student, teacher)
    directions = torch.randn(VOCAB, _DIRECTIONS, generator=torch.Generator().manual_seed(4))
    found = {}
    for kd_temperature in {claims.kd_temperatures[0], claims.kd_temperatures[-1]}:
        with torch.random.fork_rng():
            torch.manual_seed(2)
            logits = (student, teacher, kd_temperature)
            value = _errors(value_of, claims, loss, logits, torch.ones(1, 1))
            gradient = _errors(gradient_of, claims, loss, logits, directions)
        found[kd_temperature] = largest(value, gradient)
    what = f"standard errors of the mean of {_REPEATS} draws, value and gradient"
    return Finding.at_temperatures(found, _SIGMAS, what)


def _errors(
    compute: Compute,
    claims: TokenClaims,
    loss: TokenLoss,
    logits: tuple[Tensor, Tensor, float],
    directions: Tensor,
) -> float:
    """The largest deviation of a mean along some directions, in its own standard errors."""

    def along(result: Tensor) -> Tensor:
        return result.double().reshape(len(logits[0]), -1) @ directions.to(
            result.device, torch.float64
        )

    repeats = torch.stack([along(compute(loss, *logits)) for _ in range(_REPEATS)])
    expected = along(compute(claims.oracle, logits[0].double(), *logits[1:]))
    standard_error = repeats.std(0) / _REPEATS**0.5
    return largest(((repeats.mean(0) - expected).abs() / standard_error).max())


def _refused(claims: TokenClaims, loss: TokenLoss, student: Tensor, teacher: Tensor) -> Finding:
    try:
        value_of(loss, student, teacher, 1.0)
    except (ValueError, NotImplementedError, StillhouseError) as error:
        return Finding(0.0, 0.0, f"refused with {type(error).__name__}")
    return Finding(1.0, 0.0, f"{claims.formula.name} is not linear in p and was not refused")


def _dense(claims: TokenClaims, student: Tensor, teacher: Tensor, t: float) -> Tensor:
    log_p, log_q = ((x.double() / t).log_softmax(-1) for x in (teacher, student))
    return claims.formula.value(log_p, log_q) * claims.factor(t)


def _gradient_of_dense(claims: TokenClaims, student: Tensor, teacher: Tensor, t: float) -> Tensor:
    def dense(student_NV: Tensor, teacher_NV: Tensor, kd_temperature: float) -> Tensor:
        return _dense(claims, student_NV, teacher_NV, kd_temperature)

    return gradient_of(dense, student.double(), teacher, t)
