"""Divergences between teacher and student over categories: the value, and its slope.

A category is a token, or one bucket for every token that was not kept, so one formula serves the
whole vocabulary, K kept entries with a tail, and named classes.

Legend: any leading axes (...), C categories; p is the teacher, q the student.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from stillhouse.core.errors import UsageError

LOWEST_LOGPROB = -1000.0
"""Logprobs below it count as it, nats: a masked token's -inf would turn 0 * log 0 into NaN.

assumption: no two logits of a working model are that far apart.
"""


@dataclass(frozen=True, slots=True)
class Categories:
    """Teacher and student over the same categories, finite throughout.

    Attributes:
        log_p: (..., C) the teacher's logprobs, nats.
        p: (..., C) their exponentials; 0 where a category cannot be.
        log_q: (..., C) the student's logprobs, nats.
        q: (..., C) their exponentials.
        has_tail: the last category is a bucket of many tokens.
    """

    log_p: Tensor
    p: Tensor
    log_q: Tensor
    q: Tensor
    has_tail: bool = False

    @classmethod
    def of(cls, log_p: Tensor, log_q: Tensor) -> Categories:
        """Whole distributions from their logprobs, (..., C) each, nats; -inf may stand in both."""
        log_p, log_q = log_p.clamp_min(LOWEST_LOGPROB), log_q.clamp_min(LOWEST_LOGPROB)
        return cls(log_p, log_p.exp(), log_q, log_q.exp())


@dataclass(frozen=True)
class Divergence(ABC):
    """How far a student is from its teacher; 0 when they are equal, never negative.

    Attributes:
        name: of the loss term, in recipes and logs.
        is_linear: linear in the teacher but for a constant, so that tokens drawn from the
            teacher give it without bias.
        is_f_divergence: merging categories never raises it, so a value over a tail bucket is a
            lower bound of the value over the whole vocabulary.
    """

    name: ClassVar[str]
    is_linear: ClassVar[bool] = False
    is_f_divergence: ClassVar[bool] = True

    @abstractmethod
    def measure(self, categories: Categories) -> tuple[Tensor, Tensor]:
        """Value and slope.

        Args:
            categories: (..., C) of teacher and student.

        Returns:
            The value (...) in nats, and its derivative by log q (..., C) up to a multiple of q,
            which the softmax's own derivative takes away.
        """


@dataclass(frozen=True)
class ForwardKL(Divergence):
    """KL(p || q): cover all of the teacher's mass (Hinton et al. 2015, arXiv:1503.02531)."""

    name: ClassVar[str] = "forward_kl"
    is_linear: ClassVar[bool] = True

    def measure(self, categories: Categories) -> tuple[Tensor, Tensor]:
        """Value (...) and slope (..., C) of `categories`; p need not sum to 1."""
        p = categories.p
        return _dot(p, categories.log_p - categories.log_q), -p


@dataclass(frozen=True)
class ReverseKL(Divergence):
    """KL(q || p): stay where the teacher is sure (Gu et al. 2024, arXiv:2306.08543)."""

    name: ClassVar[str] = "reverse_kl"

    def measure(self, categories: Categories) -> tuple[Tensor, Tensor]:
        """Value (...) and slope (..., C) of `categories`."""
        slope = categories.log_q.sub(categories.log_p).mul_(categories.q)
        return slope.sum(-1), slope


@dataclass(frozen=True)
class JSD(Divergence):
    """Generalised Jensen-Shannon: w KL(p || m) + (1 - w) KL(q || m), with m = w p + (1 - w) q.

    Near 0 it is w times the forward KL, near 1 (1 - w) times the reverse KL: both ends learn
    almost nothing, so take those divergences by their own names there.

    Attributes:
        weight: w, the teacher's share of the mixture m, in (0, 1); 0.5 is symmetric.

    Source: Agarwal et al. 2024, arXiv:2306.13649, section 2.
    """

    weight: float = 0.5
    name: ClassVar[str] = "jsd"

    def __post_init__(self) -> None:
        _require_open("jsd_weight", self.weight)

    def measure(self, categories: Categories) -> tuple[Tensor, Tensor]:
        """Value (...) and slope (..., C) of `categories`."""
        p, q, share = categories.p, categories.q, self.weight
        log_m = _log_mixture(p, q, share)
        slope = (categories.log_q - log_m).mul_(q).mul_(1 - share)
        taught = log_m.neg_().add_(categories.log_p).mul_(p)
        return taught.sum(-1) * share + slope.sum(-1), slope


@dataclass(frozen=True)
class SkewKL(Divergence):
    """KL(p || s p + (1 - s) q): forward KL that stays finite.

    Attributes:
        skew: s, the teacher's share of the mixture, in (0, 1).

    Source: Ko et al. 2024, arXiv:2402.03898, section 3.1.
    """

    skew: float = 0.1
    name: ClassVar[str] = "skew_kl"

    def __post_init__(self) -> None:
        _require_open("skew", self.skew)

    def measure(self, categories: Categories) -> tuple[Tensor, Tensor]:
        """Value (...) and slope (..., C) of `categories`."""
        p, q = categories.p, categories.q
        mixture = _mixture(p, q, self.skew)
        slope = (p * q).div_(mixture).mul_(self.skew - 1)
        return _dot(p, categories.log_p - mixture.log_()), slope


@dataclass(frozen=True)
class SkewReverseKL(Divergence):
    """KL(q || (1 - s) p + s q): reverse KL that stays finite.

    Attributes:
        skew: s, the student's share of the mixture, in (0, 1).

    Source: Ko et al. 2024, arXiv:2402.03898, section 3.1.
    """

    skew: float = 0.1
    name: ClassVar[str] = "skew_reverse_kl"

    def __post_init__(self) -> None:
        _require_open("skew", self.skew)

    def measure(self, categories: Categories) -> tuple[Tensor, Tensor]:
        """Value (...) and slope (..., C) of `categories`."""
        q = categories.q
        mixture = _mixture(categories.p, q, 1 - self.skew)
        own_share = (q / mixture).mul_(-self.skew)
        gap = categories.log_q - mixture.log_()
        return _dot(q, gap), own_share.add_(gap).mul_(q)


@dataclass(frozen=True)
class TVD(Divergence):
    """Total variation distance, half the sum of |p - q|; at most 1.

    Source: Wen et al. 2023, arXiv:2307.15190, section 3.
    """

    name: ClassVar[str] = "tvd"

    def measure(self, categories: Categories) -> tuple[Tensor, Tensor]:
        """Value (...) and slope (..., C) of `categories`; 0 where p equals q."""
        gap = categories.q - categories.p
        return gap.abs().sum(-1) / 2, gap.sign_().mul_(categories.q).div_(2)


@dataclass(frozen=True)
class AKL(Divergence):
    """Forward and reverse KL, weighted by where the two differ: among likely tokens or others.

    The forward KL's share is the part of |p - q| that lies in the head, the fewest most likely
    tokens that hold `head_mass` of p; equal ones are all in or all out. The shares are constants
    to the gradient. A tail bucket never belongs to the head.

    Attributes:
        head_mass: of p, in (0, 1).

    Source: Wu et al. 2024, arXiv:2404.02657, section 4.
    """

    head_mass: float = 0.5
    name: ClassVar[str] = "akl"
    is_f_divergence: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _require_open("head_mass", self.head_mass)

    def measure(self, categories: Categories) -> tuple[Tensor, Tensor]:
        """Value (...) and slope (..., C) of `categories`."""
        share = self._forward_share(categories)[..., None]
        forward, forward_slope = ForwardKL().measure(categories)
        reverse, reverse_slope = ReverseKL().measure(categories)
        slope = torch.lerp(reverse_slope, forward_slope, share)
        return torch.lerp(reverse, forward, share.squeeze(-1)), slope

    def _forward_share(self, categories: Categories) -> Tensor:
        p, gap = categories.p, (categories.p - categories.q).abs_()
        tokens = p[..., :-1] if categories.has_tail else p
        if not tokens.shape[-1]:
            return torch.zeros_like(gap[..., 0])
        in_head = tokens >= _threshold(tokens, self.head_mass)
        head = torch.where(in_head, gap[..., : tokens.shape[-1]], 0.0).sum(-1)
        whole = gap.sum(-1)
        return torch.where(whole > 0, head / whole.clamp_min(torch.finfo(p.dtype).tiny), 0.5)


@dataclass(frozen=True)
class AlphaBeta(Divergence):
    """The alpha-beta divergence; (1, 0) is forward KL, (0, 1) reverse KL, all between is smooth.

    Attributes:
        alpha: >= 0; more of it looks at where the teacher is sure.
        beta: >= 0; more of it looks at where the student is sure. The larger is at least 0.1.

    Source: Wang et al. 2025, arXiv:2505.04560 (ABKD), section 4; limits as in Cichocki, Cruces &
    Amari 2011, Entropy 13(1), section 2.
    """

    alpha: float = 0.2
    beta: float = 0.7
    name: ClassVar[str] = "alpha_beta"
    is_f_divergence: ClassVar[bool] = False

    def __post_init__(self) -> None:
        # written so that NaN is refused too
        if not (min(self.alpha, self.beta) >= 0 and 0.1 <= max(self.alpha, self.beta) < math.inf):
            raise UsageError(
                f"alpha and beta are {self.alpha} and {self.beta}; both must be >= 0 and the "
                "larger at least 0.1 and finite"
            )

    def measure(self, categories: Categories) -> tuple[Tensor, Tensor]:
        """Value (...) and slope (..., C) of `categories`."""
        whole = _power_gap(categories, self.alpha + self.beta)
        slope = _power_gap(categories, self.alpha) * (self.beta * categories.log_q).exp_()
        # D(alpha, beta; p, q) = D(beta, alpha; q, p); the larger one divides, so nothing blows up
        if self.alpha >= self.beta:
            taught = _power_gap(categories, self.beta) * (self.alpha * categories.log_p).exp_()
            return (whole - taught).sum(-1) / self.alpha, slope
        return (slope - whole).sum(-1) / self.beta, slope


def measure(divergence: Divergence, log_p: Tensor, log_q: Tensor) -> Tensor:
    """A divergence of whole distributions, differentiable in log q, never NaN.

    Args:
        divergence: which one.
        log_p: (..., C) the teacher's logprobs, nats; receives no gradient.
        log_q: (..., C) the student's logprobs, nats, normalised over the last axis.

    Returns:
        (...), nats.
    """
    return differentiable(divergence, Categories.of(log_p.detach(), log_q.detach()), log_q)


def differentiable(divergence: Divergence, categories: Categories, log_q: Tensor) -> Tensor:
    """The value of a divergence with its slope as the gradient at log q.

    Args:
        divergence: which one.
        categories: (..., C) of teacher and student, detached.
        log_q: (..., C) what `categories` holds of the student, with its graph.

    Returns:
        (...), nats.
    """
    value: Tensor = _Measured.apply(log_q, divergence, categories)
    return value


class _Measured(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, _log_q: Tensor, divergence: Divergence, categories: Categories) -> Tensor:
        value, slope = divergence.measure(categories)
        ctx.save_for_backward(slope)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return gradient[..., None] * slope, None, None


def _dot(left: Tensor, right: Tensor) -> Tensor:
    return (left * right).sum(-1)


def _mixture(p: Tensor, q: Tensor, share: float) -> Tensor:
    """The mixture share * p + (1 - share) * q, (..., C), and never 0."""
    return (p * share).add_(q, alpha=1 - share).clamp_min_(torch.finfo(p.dtype).tiny)


def _log_mixture(p: Tensor, q: Tensor, share: float) -> Tensor:
    return _mixture(p, q, share).log_()


def _power_gap(categories: Categories, power: float) -> Tensor:
    """(q**power - p**power) / power without cancelling; its limit log(q / p) at power 0."""
    gap = categories.log_q - categories.log_p
    if power == 0:
        return gap
    larger = torch.maximum(categories.log_q, categories.log_p).mul_(power).exp_()
    return larger.mul_(torch.expm1(gap.abs().mul_(-power))).mul_(gap.sign_()).div_(-power)


def _threshold(tokens: Tensor, head_mass: float) -> Tensor:
    """(..., 1): the smallest probability of the fewest that together hold `head_mass`."""
    size = tokens.shape[-1]
    # measured: a sort of 151,936 costs 40 times the 64 largest, which are most often enough
    for count in (64, 1024, size):
        top = tokens.topk(min(count, size)).values
        mass = top.cumsum(-1)
        if count >= size or bool((mass[..., -1] >= head_mass).all()):
            break
    place = (mass < head_mass).sum(-1, keepdim=True).clamp_max(top.shape[-1] - 1)
    return top.gather(-1, place)


def _require_open(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise UsageError(f"{name} is {value}; it must lie between 0 and 1, both left out")
