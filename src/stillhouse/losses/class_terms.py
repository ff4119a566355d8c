"""Loss terms of examples with named answers: their classes, and the text of the hard label.

    score of a class = log-likelihood of its whole answer
    loss = sum over examples of weight * KL(teacher || softmax of the scores)
         + sum over the hard answers' tokens of weight * cross-entropy

How much a token counts depends on the scores of all classes, so the head is asked twice: once for
the scores, and once for a cross-entropy whose token weights are the slopes that they have.

Legend: N scored tokens, H hidden size, E examples, C classes, M pairs of an answer and a token of
it, P tokens of the hard answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stillhouse.core.errors import ShapeError
from stillhouse.losses.class_level import class_divergence
from stillhouse.losses.divergences import ForwardKL
from stillhouse.losses.fused_linear import FusedLoss, fused_linear_loss
from stillhouse.losses.head import HeadTensors
from stillhouse.losses.terms import CE, CLASS_KL, CROSS_ENTROPY, Objective, UnitWeights


@dataclass(frozen=True, slots=True)
class ClassRows:
    """What is learned of E examples with the same C classes.

    Attributes:
        token_ids: (N,) int64, the scored tokens of all answers.
        answers: (M,) int64, e * C + c of the answer that a token is part of.
        tokens: (M,) int64, which scored token that is.
        teacher_probs: (E, C), >= 0, each row of any positive sum.
        hard_tokens: (P,) int64, the scored tokens of the hard answers; an example without a hard
            label has none.
    """

    token_ids: Tensor
    answers: Tensor
    tokens: Tensor
    teacher_probs: Tensor
    hard_tokens: Tensor


def class_linear_loss(
    hidden_NH: Tensor,
    head: HeadTensors,
    rows: ClassRows,
    objective: Objective,
    weights: UnitWeights,
) -> FusedLoss:
    """The weighted sum of `class_kl` over examples and `cross_entropy` over hard answers' tokens.

    Args:
        hidden_NH: (N, H), the last hidden states at the positions that predict the scored tokens.
        head: the output head; receives gradients where it requires them.
        rows: what is learned.
        objective: terms, weights and kd_temperature; of its terms those two.
        weights: of an example and of a token.

    Returns:
        The scalar, and detached values: `class_kl` (E,) nats per example, `cross_entropy` (P,)
        nats per token.

    Raises:
        ShapeError: the teacher's rows are not of the answers.

    Source: Hinton, Vinyals & Dean 2015, arXiv:1503.02531, section 2, over whole answers.
    """
    with torch.random.fork_rng(_devices(hidden_NH)), torch.no_grad():
        # Dropout on an adapter of the head falls the same both times.
        nll_N = _cross_entropies(hidden_NH, head, rows, hidden_NH.new_zeros(len(hidden_NH)))[1]
    with torch.enable_grad():
        nll_N = nll_N.requires_grad_()
        values = _values(nll_N, rows, objective)
        counted = {CLASS_KL: weights.example, CE: weights.token}
        total = nll_N.sum() * 0
        for name, weight in objective.weights.items():
            total = total + weight * counted[name] * values[name].sum()
        (slopes_N,) = torch.autograd.grad(total, nll_N)
    carried, _ = _cross_entropies(hidden_NH, head, rows, slopes_N)
    # The value is the loss itself; the weighted cross-entropy only has its gradient.
    loss = total.detach() + (carried - carried.detach())
    return FusedLoss(loss, {name: value.detach() for name, value in values.items()})


def class_scores(nll_N: Tensor, rows: ClassRows) -> Tensor:
    """The log-likelihood of each whole answer.

    Args:
        nll_N: (N,) nats, of the scored tokens.
        rows: which of them each answer is made of.

    Returns:
        (E, C) nats, <= 0.
    """
    shape = rows.teacher_probs.shape
    flat = nll_N.new_zeros(shape.numel())
    return flat.index_add(0, rows.answers, -nll_N[rows.tokens]).view(shape)


def _values(nll_N: Tensor, rows: ClassRows, objective: Objective) -> dict[str, Tensor]:
    if len(rows.answers) and int(rows.answers.max()) >= rows.teacher_probs.numel():
        raise ShapeError(
            f"answer {int(rows.answers.max())} of a batch whose teacher has "
            f"{tuple(rows.teacher_probs.shape)} probabilities",
            "teacher and student must name the same classes",
        )
    found = {}
    if CLASS_KL in objective.weights:
        found[CLASS_KL] = class_divergence(
            ForwardKL(),
            class_scores(nll_N, rows),
            rows.teacher_probs.to(nll_N.dtype),
            kd_temperature=objective.kd_temperature,
            t2_scaling=objective.t2_scaling,
        )
    if CE in objective.weights:
        found[CE] = nll_N[rows.hard_tokens]
    return found


def _cross_entropies(
    hidden_NH: Tensor, head: HeadTensors, rows: ClassRows, weights_N: Tensor
) -> tuple[Tensor, Tensor]:
    fused = fused_linear_loss(hidden_NH, head, rows.token_ids, None, CROSS_ENTROPY, weights_N)
    return fused.loss, fused.per_token[CE]


def _devices(tensor: Tensor) -> list[torch.device]:
    return [tensor.device] if tensor.device.type == "cuda" else []
