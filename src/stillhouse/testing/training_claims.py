"""What a training loss says of itself, the batch it is tried on, and what it then has to give.

Legend: B rows, T positions, H hidden size, V student's vocabulary, U teacher's vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stillhouse.core.errors import ShapeError
from stillhouse.testing.formulas import Formula
from stillhouse.testing.token_claims import FLOAT32_BOUND, FLOAT64_BOUND

IGNORED = -100
"""The label of a position whose token is not trained; the customary value of torch and others."""
HIDDEN, REAL_VOCAB = 6, 24
BFLOAT16_PRODUCT_BOUND = 0.02
"""Largest relative deviation where head and hidden states are bfloat16 and so may products be.

assumption: a few roundings to 8 bits each; measured: our own stay below 0.007.
"""
ROWS = ((11, 3), (7, 2), (5, 4), (3, 1), (9, 1), (2, 1), (6, 6), (10, 9))
"""Tokens and prompt tokens of the rows of the trial batch; one is prompt alone."""


@dataclass(frozen=True, slots=True)
class Head:
    """The student's output head: logits = softcap(logit_scale * (h @ W.T + b)).

    Attributes:
        weight_VH: (V, H); rows from `vocab_size` on only pad the vocabulary.
        bias_V: (V,) or None.
        logit_scale: factor of the logits.
        logit_softcap: c in c * tanh(logits / c), or None where there is no cap.
        vocab_size: rows that are real tokens, on the student's and on the teacher's side.
    """

    weight_VH: Tensor
    bias_V: Tensor | None = None
    logit_scale: float = 1.0
    logit_softcap: float | None = None
    vocab_size: int = REAL_VOCAB


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """One micro-batch as a trainer passes it, padded on the right.

    Attributes:
        hidden_BTH: (B, T, H), the last hidden states at all positions, prompt and padding too.
        head: the student's head.
        teacher_logits_BTU: (B, T, U); columns from `head.vocab_size` on are padding.
        labels_BT: (B, T) int64, the token at each position, not shifted: the token at t is
            predicted by the position t - 1. -100 where it is not trained.
        num_items: trained tokens of the *global* batch: of all micro-batches and ranks.
        kd_temperature: > 0.
    """

    hidden_BTH: Tensor
    head: Head
    teacher_logits_BTU: Tensor
    labels_BT: Tensor
    num_items: int
    kd_temperature: float = 1.0

    @property
    def is_predicting(self) -> Tensor:
        """(B, T) bool, true where the position predicts a trained token."""
        predicting = torch.zeros_like(self.labels_BT, dtype=torch.bool)
        predicting[:, :-1] = self.labels_BT[:, 1:] != IGNORED
        return predicting

    def part(self, rows: slice) -> TrainingBatch:
        """A micro-batch: some rows, as wide as its longest; `num_items` stays the global count."""
        labels = self.labels_BT[rows]
        trained = (labels != IGNORED).any(0).nonzero()
        width = int(trained.max()) + 1 if len(trained) else 1
        return replace(
            self,
            hidden_BTH=self.hidden_BTH[rows, :width],
            teacher_logits_BTU=self.teacher_logits_BTU[rows, :width],
            labels_BT=labels[:, :width],
        )


TrainingLoss = Callable[[TrainingBatch], Tensor]
"""A micro-batch -> its share of the global mean, a scalar with a graph."""


@dataclass(frozen=True, slots=True)
class TrainingClaims:
    """What a training loss claims to be; the laws are read from it.

    The claim is: the sum over trained tokens of kd_weight * divergence + ce_weight * cross-entropy
    at T = 1, over num_items.

    Attributes:
        formula: the divergence, see `stillhouse.testing.formulas`.
        kd_weight: factor of the divergence.
        ce_weight: factor of the cross-entropy with the label.
        t2_scaling: the divergence is multiplied by kd_temperature**2.
        top_k: teacher entries that are kept, the rest being one bucket; 0 keeps all.
        as_stored: (teacher logits (N, V), kd_temperature) -> the logits that stored targets still
            say, for a loss that gets targets of a narrower type.
        kd_temperatures: those that the loss can do.
        heads: what it does besides a plain head, out of `bias`, `logit_scale`, `logit_softcap`
            and `padding` (of either vocabulary).
        computes_in: the widest type that it computes in, float64 or float32.
        device: where the batches of the trials lie.
        float32_bound: largest relative deviation of its gradient in float32.
        bfloat16_bound: the same for a bfloat16 head and hidden states.
    """

    formula: Formula
    kd_weight: float = 1.0
    ce_weight: float = 0.0
    t2_scaling: bool = True
    top_k: int = 0
    as_stored: Callable[[Tensor, float], Tensor] | None = None
    kd_temperatures: tuple[float, ...] = (1.0, 2.0)
    heads: frozenset[str] = frozenset({"bias", "logit_scale", "logit_softcap", "padding"})
    computes_in: torch.dtype = torch.float64
    device: str = "cpu"
    float32_bound: float = FLOAT32_BOUND
    bfloat16_bound: float = BFLOAT16_PRODUCT_BOUND

    @property
    def bound(self) -> float:
        """Largest relative deviation in the type that the loss computes in."""
        return FLOAT64_BOUND if self.computes_in == torch.float64 else self.float32_bound

    def oracle(self, batch: TrainingBatch) -> Tensor:
        """The claim in float64, differentiable by torch's autograd.

        Args:
            batch: one micro-batch.

        Returns:
            () float64.
        """
        used, head, predicting = batch.head.vocab_size, batch.head, batch.is_predicting
        hidden = batch.hidden_BTH[predicting].double()
        logits = hidden @ head.weight_VH[:used].double().T
        if head.bias_V is not None:
            logits = logits + head.bias_V[:used].double()
        logits = logits * head.logit_scale
        if head.logit_softcap is not None:
            logits = head.logit_softcap * torch.tanh(logits / head.logit_softcap)
        teacher = batch.teacher_logits_BTU.detach()[predicting][:, :used]
        if self.as_stored is not None:
            teacher = self.as_stored(teacher, batch.kd_temperature)
        sides = (teacher.double(), logits)
        log_p, log_q = ((x / batch.kd_temperature).log_softmax(-1) for x in sides)
        factor = batch.kd_temperature**2 if self.t2_scaling else 1.0
        divergence = factor * self.formula.merged(log_p, log_q, self.top_k)
        labels = batch.labels_BT[:, 1:][predicting[:, :-1]]
        observed = logits.log_softmax(-1).gather(-1, labels[:, None]).squeeze(-1)
        summed = self.kd_weight * divergence.sum() - self.ce_weight * observed.sum()
        return summed / max(batch.num_items, 1)


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a training loss gave: its value and the gradients that it sent back.

    Attributes:
        value: () detached.
        hidden_BTH: (B, T, H) gradient.
        weight_VH: (V, H) gradient.
        bias_V: (V,) gradient, or no number where there is no bias.
    """

    value: Tensor
    hidden_BTH: Tensor
    weight_VH: Tensor
    bias_V: Tensor

    @property
    def all(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Value and gradients."""
        return self.value, self.hidden_BTH, self.weight_VH, self.bias_V


def trial_batch(
    claims: TrainingClaims,
    dtype: torch.dtype | None = None,
    *,
    rows: tuple[tuple[int, int], ...] = ROWS,
    head: frozenset[str] = frozenset(),
    kd_temperature: float = 1.0,
) -> TrainingBatch:
    """A batch of rows of many lengths, the same in every type but for float64's last bits.

    Args:
        claims: say on which device, and in which type unless `dtype` does.
        dtype: of hidden states, head and teacher logits; None takes the claims' widest.
        rows: tokens and prompt tokens of each row.
        head: what the head has, out of `bias`, `logit_scale`, `logit_softcap` and `padding`.
        kd_temperature: > 0.

    Returns:
        The batch; nothing requires a gradient yet.
    """
    generator = torch.Generator().manual_seed(11)
    width = max(length for length, _ in rows)
    student_extra, teacher_extra = (3, 5) if "padding" in head else (0, 0)

    def draw(*shape: int) -> Tensor:
        drawn = torch.randn(*shape, generator=generator)
        return drawn.to(claims.device, dtype or claims.computes_in)

    labels = torch.randint(0, REAL_VOCAB, (len(rows), width), generator=generator)
    for row, (length, prompt) in enumerate(rows):
        labels[row, :prompt] = labels[row, length:] = IGNORED
    hidden, teacher = draw(len(rows), width, HIDDEN), 3 * draw(len(rows), width, REAL_VOCAB)
    weight, bias = draw(REAL_VOCAB, HIDDEN), draw(REAL_VOCAB)
    # What stands in padded columns is arbitrary, so it is large here.
    weight = torch.cat([weight, 4 * draw(student_extra, HIDDEN)])
    bias = torch.cat([bias, 9 + draw(student_extra)])
    teacher = torch.cat([teacher, 9 + draw(len(rows), width, teacher_extra)], -1)
    made = Head(
        weight,
        bias if "bias" in head else None,
        0.4 if "logit_scale" in head else 1.0,
        3.0 if "logit_softcap" in head else None,
    )
    num_items = int((labels[:, 1:] != IGNORED).sum())
    labels = labels.to(claims.device)
    return TrainingBatch(hidden, made, teacher, labels, num_items, kd_temperature)


def outputs_of(loss: TrainingLoss, batch: TrainingBatch, factor: float = 1.0) -> Outputs:
    """Run the loss and differentiate `factor` times its value.

    Args:
        loss: what is on trial.
        batch: one micro-batch.
        factor: of the value, as gradient scaling does.

    Returns:
        The value and the gradients; a gradient that never came is zeros.

    Raises:
        ShapeError: the loss is no scalar.
    """
    bias = batch.head.bias_V
    tensors = (batch.hidden_BTH, batch.head.weight_VH) + (() if bias is None else (bias,))
    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    head = replace(batch.head, weight_VH=leaves[1], bias_V=None if bias is None else leaves[2])
    value = loss(replace(batch, hidden_BTH=leaves[0], head=head))
    if value.shape != ():
        raise ShapeError(f"the loss has shape {tuple(value.shape)}; it must be one scalar")
    grads = list(torch.autograd.grad(value * factor, leaves, allow_unused=True))
    filled = [
        torch.zeros_like(leaf) if grad is None else grad
        for grad, leaf in zip(grads, leaves, strict=True)
    ]
    return Outputs(value.detach(), filled[0], filled[1], [*filled, value.new_zeros(0)][2])
