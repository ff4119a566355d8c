"""The divergences as their papers write them, for autograd in float64: slow, and NaN at 0."""

import torch

from stillhouse.losses.divergences import (
    AKL,
    JSD,
    TVD,
    AlphaBeta,
    ForwardKL,
    ReverseKL,
    SkewKL,
    SkewReverseKL,
)

EVERY = (
    ForwardKL(),
    ReverseKL(),
    JSD(),
    JSD(0.2),
    SkewKL(),
    SkewReverseKL(0.3),
    TVD(),
    AKL(),
    AlphaBeta(),
    AlphaBeta(0.8, 0.3),
)


def kl(p, q):
    return (p * (p / q).log()).sum(-1)


def naive(divergence, p, q, tail=0):
    """(...) value of a divergence of probabilities (..., C); the last `tail` are no tokens."""
    match divergence:
        case ForwardKL():
            return kl(p, q)
        case ReverseKL():
            return kl(q, p)
        case JSD(weight=share):
            mixture = share * p + (1 - share) * q
            return share * kl(p, mixture) + (1 - share) * kl(q, mixture)
        case SkewKL(skew=share):
            return kl(p, share * p + (1 - share) * q)
        case SkewReverseKL(skew=share):
            return kl(q, share * q + (1 - share) * p)
        case TVD():
            return (p - q).abs().sum(-1) / 2
        case AlphaBeta(alpha=a, beta=b):
            terms = p**a * q**b - a / (a + b) * p ** (a + b) - b / (a + b) * q ** (a + b)
            return -terms.sum(-1) / (a * b)
        case AKL(head_mass=mass):
            rows = [_akl(*row, mass, tail) for row in zip(p, q, strict=True)]
            return torch.stack(rows)
    raise AssertionError(divergence)


def _akl(p, q, mass, tail):
    order = p[: len(p) - tail].argsort(descending=True)
    head = order[: int((p[order].cumsum(0) < mass).sum()) + 1]
    gap = (p - q).abs().detach()
    share = gap[head].sum() / gap.sum()
    return share * kl(p, q) + (1 - share) * kl(q, p)


def naive_sparse(divergence, student, teacher, top_ids, kd_temperature):
    """(N,) value over K + 1 categories from logits (N, V) of both sides."""
    p, q = ((logits / kd_temperature).softmax(-1) for logits in (teacher, student))
    kept = torch.zeros_like(p, dtype=torch.bool).scatter(1, top_ids, True)
    if kept.all():
        return naive(divergence, p.gather(1, top_ids), q.gather(1, top_ids))
    halves = [
        torch.cat((x.gather(1, top_ids), (x * ~kept).sum(1, keepdim=True)), 1) for x in (p, q)
    ]
    return naive(divergence, *halves, tail=1)
