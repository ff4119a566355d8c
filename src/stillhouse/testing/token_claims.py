"""What a loss per token says of itself, the logits it is tried on, and what it then has to give.

Legend: N tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stillhouse.testing.formulas import Formula
from stillhouse.testing.measuring import TokenLoss

NUM_TOKENS, VOCAB = 7, 40
FLOAT64_BOUND = 1e-9
"""Largest relative deviation in float64; measured: our own stay below 1e-13."""
FLOAT32_BOUND = 1e-6
"""Largest relative deviation of a gradient in float32; measured: our own stay below 9.2e-7."""
BFLOAT16_BOUND = 2.0**-7
"""Largest relative deviation of a gradient that was only rounded, or cut, to bfloat16's 8 bits."""


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a loss per token claims to be; the laws are read from it.

    Attributes:
        formula: the divergence, see `stillhouse.testing.formulas`.
        t2_scaling: value and gradient are multiplied by kd_temperature**2.
        top_k: teacher entries that are kept, the rest being one bucket; 0 keeps all.
        at_top_k: the same loss with another number of kept entries, for the laws about k.
        as_stored: (teacher logits, kd_temperature) -> the logits that stored targets still say, for
            a loss that gets targets of a narrower type; the formula is then asked of these.
        is_sampled: the loss draws from the teacher, with torch's global generator.
        kd_temperatures: those that the loss can do; (1.0,) is a loss without a temperature.
        computes_in: the widest type that it computes in, float64 or float32.
        device: where the logits of the trials lie.
        float32_bound: largest relative deviation of its gradient in float32.
        bfloat16_bound: the same for bfloat16 logits.
    """

    formula: Formula
    t2_scaling: bool = True
    top_k: int = 0
    at_top_k: Callable[[int], TokenLoss] | None = None
    as_stored: Callable[[Tensor, float], Tensor] | None = None
    is_sampled: bool = False
    kd_temperatures: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    computes_in: torch.dtype = torch.float64
    device: str = "cpu"
    float32_bound: float = FLOAT32_BOUND
    bfloat16_bound: float = BFLOAT16_BOUND

    @property
    def bound(self) -> float:
        """Largest relative deviation in the type that the loss computes in."""
        return FLOAT64_BOUND if self.computes_in == torch.float64 else self.float32_bound

    @property
    def keeps_all(self) -> bool:
        """True where no entry of the vocabulary of the trials is merged."""
        return not 0 < self.top_k < VOCAB

    def factor(self, kd_temperature: float) -> float:
        """What the plain divergence is multiplied by."""
        return kd_temperature**2 if self.t2_scaling else 1.0

    def logits(self, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
        """Student and teacher logits of a trial, (N, V) each, on the loss's device.

        Args:
            dtype: None takes the widest type that the loss computes in.

        Returns:
            As `trial_logits`.
        """
        student_NV, teacher_NV = trial_logits(dtype or self.computes_in)
        return student_NV.to(self.device), teacher_NV.to(self.device)

    def oracle(self, student_NV: Tensor, teacher_NV: Tensor, kd_temperature: float) -> Tensor:
        """The formula in float64, differentiable by torch's autograd.

        Args:
            student_NV: (N, V) logits of any type.
            teacher_NV: (N, V) logits of any type.
            kd_temperature: > 0.

        Returns:
            (N,) float64 nats.
        """
        teacher_NV = teacher_NV.detach()
        if self.as_stored is not None:
            teacher_NV = self.as_stored(teacher_NV, kd_temperature)
        log_p = (teacher_NV.double() / kd_temperature).log_softmax(-1)
        log_q = (student_NV.double() / kd_temperature).log_softmax(-1)
        return self.formula.merged(log_p, log_q, self.top_k) * self.factor(kd_temperature)


def trial_logits(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Student and teacher logits, (N, V) each; the same numbers in every type, but for one thing.

    Besides ordinary rows there are nearly equal ones and a teacher that knows nothing; in float64
    also a sure teacher and a student that is sure of something else: there float32's logsumexp
    alone would be off by more than the bound.
    """
    generator = torch.Generator().manual_seed(3)
    student = 2 * torch.randn(NUM_TOKENS, VOCAB, generator=generator, dtype=torch.float64)
    teacher = 3 * torch.randn(NUM_TOKENS, VOCAB, generator=generator, dtype=torch.float64)
    student[3] = teacher[3] + 0.1 * student[3]
    if dtype == torch.float64:
        teacher[4, 5] += 12.0
        student[5, 7] += 12.0
    teacher[6] *= 0.03
    return student.float().to(dtype), teacher.float().to(dtype)
