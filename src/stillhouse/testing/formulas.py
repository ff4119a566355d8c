"""Divergences as the textbooks write them: slow, plain, for torch's own autograd in float64.

    formula.value(log_p, log_q)          p the teacher, q the student, both over C categories

These are the oracle that a loss is measured against, so they share no code with any loss.

Legend: N tokens, C categories (the vocabulary, or K kept entries and one bucket for the tail).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stillhouse.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Formula:
    """One divergence with what is known of it.

    Attributes:
        name: how a report names it, parameters included.
        value: ((N, C) log p, (N, C) log q, nats) -> (N,) nats.
        is_f_divergence: merging categories never raises it.
        is_linear: linear in p up to what does not depend on q, so drawn targets are unbiased.
        is_symmetric: swapping p and q changes nothing.
        is_smooth: its gradient is 0 where p = q.
        has_constant_weights: parts of it are held constant in the gradient, so the gradient is
            not that of the value.
        jsd_weight: the teacher's weight in the mixture of a generalized JSD; 0 for others.
        value_with_tail: the same where the last category is a bucket of many tokens; None where
            a bucket is a category as any other.
    """

    name: str
    value: Callable[[Tensor, Tensor], Tensor]
    is_f_divergence: bool = True
    is_linear: bool = False
    is_symmetric: bool = False
    is_smooth: bool = True
    has_constant_weights: bool = False
    jsd_weight: float = 0.0
    value_with_tail: Callable[[Tensor, Tensor], Tensor] | None = None

    def merged(self, log_p: Tensor, log_q: Tensor, top_k: int) -> Tensor:
        """The value over the teacher's `top_k` likeliest entries and one bucket for the rest.

        Args:
            log_p: (N, V) nats.
            log_q: (N, V) nats.
            top_k: kept entries; 0, or V and more, merges nothing.

        Returns:
            (N,) nats.
        """
        if not 0 < top_k < log_p.shape[-1]:
            return self.value(log_p, log_q)
        order = log_p.argsort(dim=-1, descending=True)
        ordered = (logprobs.gather(-1, order) for logprobs in (log_p, log_q))
        merged = [
            torch.cat([x[..., :top_k], x[..., top_k:].logsumexp(-1, keepdim=True)], -1)
            for x in ordered
        ]
        return (self.value_with_tail or self.value)(*merged)


def forward_kl() -> Formula:
    """KL(p || q) = sum p log(p / q); Kullback & Leibler 1951, Hinton et al. 2015."""
    return Formula("forward_kl", _kl, is_linear=True)


def reverse_kl() -> Formula:
    """KL(q || p) = sum q log(q / p); Gu et al. 2023, arXiv:2306.08543, section 2."""
    return Formula("reverse_kl", lambda log_p, log_q: _kl(log_q, log_p))


def jsd(weight: float = 0.5) -> Formula:
    """W KL(p || m) + (1 - w) KL(q || m), m = w p + (1 - w) q; Agarwal et al. 2023, 2306.13649.

    Args:
        weight: of the teacher in the mixture, in (0, 1).

    Returns:
        The formula.

    Raises:
        UsageError: the weight is 0 or 1, where this is 0 for all p and q.
    """
    _require(0 < weight < 1, f"the weight of a JSD is in (0, 1), got {weight}")

    def value(log_p: Tensor, log_q: Tensor) -> Tensor:
        log_m = (weight * log_p.exp() + (1 - weight) * log_q.exp()).log()
        return weight * _kl(log_p, log_m) + (1 - weight) * _kl(log_q, log_m)

    return Formula(f"jsd({weight:g})", value, is_symmetric=weight == 0.5, jsd_weight=weight)


def skew_kl(skew: float = 0.1) -> Formula:
    """KL(p || s p + (1 - s) q); Ko et al. 2024, arXiv:2402.03898, section 3.1.

    Args:
        skew: s, the teacher's share in the mixture, in (0, 1).

    Returns:
        The formula.

    Raises:
        UsageError: the skew is not in (0, 1).
    """
    _require(0 < skew < 1, f"a skew is in (0, 1), got {skew}")

    def value(log_p: Tensor, log_q: Tensor) -> Tensor:
        return _kl(log_p, (skew * log_p.exp() + (1 - skew) * log_q.exp()).log())

    return Formula(f"skew_kl({skew:g})", value)


def skew_reverse_kl(skew: float = 0.1) -> Formula:
    """KL(q || (1 - s) p + s q); Ko et al. 2024, arXiv:2402.03898, section 3.1.

    Args:
        skew: s, the student's share in the mixture, in (0, 1).

    Returns:
        The formula.

    Raises:
        UsageError: the skew is not in (0, 1).
    """
    _require(0 < skew < 1, f"a skew is in (0, 1), got {skew}")

    def value(log_p: Tensor, log_q: Tensor) -> Tensor:
        return _kl(log_q, ((1 - skew) * log_p.exp() + skew * log_q.exp()).log())

    return Formula(f"skew_reverse_kl({skew:g})", value)


def tvd() -> Formula:
    """Total variation, sum |p - q| / 2; Wen et al. 2023, arXiv:2307.15190, section 3."""
    return Formula(
        "tvd",
        lambda log_p, log_q: (log_p.exp() - log_q.exp()).abs().sum(-1) / 2,
        is_symmetric=True,
        is_smooth=False,
    )


def akl(head_mass: float = 0.5) -> Formula:
    """Forward and reverse KL, weighted by the gap |p - q| in the teacher's head and in its tail.

    The head is the smallest set of likeliest categories that holds `head_mass` of p; a bucket is
    never in it. The weights are constants for the gradient, and either half where p = q.

    Args:
        head_mass: in (0, 1).

    Returns:
        The formula; Wu et al. 2024, arXiv:2404.02657, section 4.

    Raises:
        UsageError: the mass is not in (0, 1).
    """
    _require(0 < head_mass < 1, f"a head's mass is in (0, 1), got {head_mass}")

    def weighted(log_p: Tensor, log_q: Tensor, num_tokens: int) -> Tensor:
        p = log_p.exp()
        p_sorted, order = p[..., :num_tokens].sort(dim=-1, descending=True)
        gap = (p - log_q.detach().exp()).abs()
        before = p_sorted.cumsum(-1) - p_sorted
        head = torch.where(before < head_mass, gap.gather(-1, order), 0.0).sum(-1)
        total = gap.sum(-1)
        share = torch.where(total > 0, head / total, 0.5)
        return share * _kl(log_p, log_q) + (1 - share) * _kl(log_q, log_p)

    return Formula(
        f"akl({head_mass:g})",
        lambda log_p, log_q: weighted(log_p, log_q, log_p.shape[-1]),
        is_f_divergence=False,
        has_constant_weights=True,
        value_with_tail=lambda log_p, log_q: weighted(log_p, log_q, log_p.shape[-1] - 1),
    )


def alpha_beta(alpha: float, beta: float) -> Formula:
    """The alpha-beta divergence, with its limits where alpha, beta or their sum is 0.

    Args:
        alpha: exponent of the teacher.
        beta: exponent of the student.

    Returns:
        The formula; Cichocki, Cruces & Amari 2011, Entropy 13(1):134, equations 17 to 21; for
        distillation Wang et al. 2025, arXiv:2505.04560, section 3.
    """
    both = alpha + beta

    def value(log_p: Tensor, log_q: Tensor) -> Tensor:
        if alpha and beta and both:
            mixed = (alpha * log_p + beta * log_q).exp()
            pure = (alpha * (both * log_p).exp() + beta * (both * log_q).exp()) / both
            return (pure - mixed).sum(-1) / (alpha * beta)
        if alpha and beta:
            ratio = alpha * (log_q - log_p)
            return (ratio + (-ratio).exp() - 1).sum(-1) / alpha**2
        if alpha or beta:
            a, (first, second) = (alpha, (log_p, log_q)) if alpha else (beta, (log_q, log_p))
            x, y = (a * first).exp(), (a * second).exp()
            return (x * a * (first - second) - x + y).sum(-1) / a**2
        return (log_p - log_q).square().sum(-1) / 2

    return Formula(
        f"alpha_beta({alpha:g},{beta:g})",
        value,
        is_f_divergence=math.isclose(both, 1),
        is_linear=alpha == 1,
        is_symmetric=alpha == beta,
    )


def _kl(log_a: Tensor, log_b: Tensor) -> Tensor:
    return (log_a.exp() * (log_a - log_b)).sum(-1)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise UsageError(message)
