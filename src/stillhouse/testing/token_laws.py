"""Which laws a loss per token is under; each was broken by some library that is in use."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial

import torch

from stillhouse.testing import call_laws, sparse_laws, value_laws
from stillhouse.testing.call_laws import extreme_logits
from stillhouse.testing.measuring import TokenLoss
from stillhouse.testing.token_claims import TokenClaims
from stillhouse.testing.verdicts import Finding, Law

Absent = Callable[[TokenClaims], str]


def _exact(claims: TokenClaims) -> str:
    return "a sampled loss is right in expectation only" if claims.is_sampled else ""


def _constant_weights(claims: TokenClaims) -> str:
    if claims.formula.has_constant_weights:
        return f"{claims.formula.name} holds weights constant, so it is not its value's gradient"
    return ""


def _temperature(claims: TokenClaims) -> str:
    return "" if len(claims.kd_temperatures) > 1 else "the loss has no temperature"


def _either(*reasons: Absent) -> Absent:
    return lambda claims: next((text for reason in reasons if (text := reason(claims))), "")


def _symmetric(claims: TokenClaims) -> str:
    if not claims.formula.is_symmetric:
        return f"{claims.formula.name} is not symmetric"
    return "" if claims.keeps_all else "the kept entries are the teacher's"


def _near_an_end(claims: TokenClaims) -> str:
    weight = claims.formula.jsd_weight
    near = 0 < min(weight, 1 - weight) <= 0.01
    return (
        ""
        if near and claims.keeps_all
        else "not a JSD over all entries with a weight near its ends"
    )


def _finite_in_float32(claims: TokenClaims) -> str:
    values = [claims.oracle(*extreme_logits(claims), t).max() for t in claims.kd_temperatures]
    largest = torch.finfo(torch.float32).max
    return "" if max(values) < largest else "the formula itself leaves float32"


def _merges(claims: TokenClaims) -> str:
    return "no entry is merged" if claims.keeps_all else ""


def _coarsens(claims: TokenClaims) -> str:
    if claims.formula.is_f_divergence:
        return ""
    return f"{claims.formula.name} is not an f-divergence: merging may raise it"


def _has_k(claims: TokenClaims) -> str:
    return "" if claims.at_top_k else "the claims name no `at_top_k`"


def _sampled(claims: TokenClaims) -> str:
    return "" if claims.is_sampled else "nothing is sampled"


def _always(_claims: TokenClaims) -> str:
    return ""


_LAWS: tuple[tuple[Callable[[TokenClaims, TokenLoss], Finding], Absent], ...] = (
    (value_laws.zero_at_equality, _exact),
    (value_laws.never_negative, _exact),
    (value_laws.a_shift_of_the_student_changes_nothing, _always),
    (value_laws.a_shift_of_the_teacher_changes_nothing, _always),
    (value_laws.value_equals_the_formula, _exact),
    (value_laws.gradient_equals_the_formula, _exact),
    (value_laws.float32_gradient_equals_the_formula, _exact),
    (value_laws.gradient_equals_finite_differences, _constant_weights),
    (value_laws.temperature_acts_on_both_sides, _temperature),
    (value_laws.t2_scales_value_and_gradient_alike, _either(_exact, _temperature)),
    (sparse_laws.a_tail_uses_the_true_log_z, _either(_exact, _merges, _temperature)),
    (sparse_laws.sparse_is_never_above_dense, _either(_exact, _merges, _coarsens)),
    (sparse_laws.more_kept_entries_come_closer, _either(_exact, _has_k)),
    (sparse_laws.sampled_targets_are_unbiased, _sampled),
    (call_laws.extreme_logits_stay_finite, _either(_exact, _finite_in_float32)),
    (call_laws.rows_are_independent, _exact),
    (call_laws.no_token_is_no_error, _always),
    (call_laws.half_precision_is_computed_in_float32, _always),
    (call_laws.the_teacher_gets_no_gradient, _always),
    (call_laws.the_logits_stay_as_they_were, _always),
    (value_laws.a_symmetric_divergence_is_symmetric, _either(_exact, _symmetric)),
    (value_laws.a_jsd_ends_in_the_two_kls, _either(_exact, _near_an_end)),
)


def token_laws(claims: TokenClaims) -> list[Law[TokenLoss]]:
    """Every law of a loss per token; those that do not apply say why.

    Args:
        claims: what the loss says of itself.

    Returns:
        The laws, bound to the claims.
    """
    refused = claims.is_sampled and not claims.formula.is_linear
    reason = f"a sampled loss of {claims.formula.name} has to be refused"
    return [
        Law(
            measure.__name__,
            (inspect.getdoc(measure) or "").splitlines()[0],
            partial(measure, claims),
            reason
            if refused and measure is not sparse_laws.sampled_targets_are_unbiased
            else absent(claims),
        )
        for measure, absent in _LAWS
    ]
