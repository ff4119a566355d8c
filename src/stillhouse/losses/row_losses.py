"""Loss terms of a few rows of logits, and their gradient in the same memory.

Everything here sees rows that fit a processor's cache; products are made elsewhere.

    gradient = weight * (d KL_T / d logits * factor) + weight' * (softmax - observed)

Legend: N tokens, t rows at hand, V vocabulary, C categories, K kept entries, S drawn tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from stillhouse.losses.divergences import LOWEST_LOGPROB, Categories
from stillhouse.losses.soft_targets import (
    LiveTeacher,
    SampledTargets,
    SoftTargets,
    SparseTargets,
    TeacherCategories,
)
from stillhouse.losses.terms import CE, Objective


@dataclass(slots=True)
class RowLosses:
    """What is minimised at N tokens.

    Attributes:
        objective: terms, weights and kd_temperature.
        token_ids_N: (N,) int64, the observed tokens.
        token_weights_N: (N,) final weights, in the softmax's type.
        teacher: soft targets, or None for cross-entropy alone.
        num_used: V, real tokens of the vocabulary.
        wants_gradient: write it over the logits.
        values: name -> (N,) nats, filled row by row.
    """

    objective: Objective
    token_ids_N: Tensor
    token_weights_N: Tensor
    teacher: SoftTargets | None
    num_used: int
    wants_gradient: bool
    values: dict[str, Tensor] = field(default_factory=dict)
    _softened: TeacherCategories | None = None

    def __post_init__(self) -> None:
        self.values = {
            name: torch.zeros_like(self.token_weights_N) for name in self.objective.weights
        }
        if isinstance(self.teacher, SparseTargets) and self.objective.needs_teacher:
            self._softened = self.teacher.softened(self.objective.kd_temperature, self.num_used)

    @property
    def is_live(self) -> bool:
        """Whether the teacher's own logits are needed."""
        return isinstance(self.teacher, LiveTeacher) and self.objective.needs_teacher

    def run_(self, rows: slice, logits_tV: Tensor, teacher_tV: Tensor | None) -> None:
        """Fill the values of `rows`; `logits_tV` becomes the gradient, `teacher_tV` is used up."""
        objective = self.objective
        hard_weight_t = None
        if objective.cross_entropy > 0:
            hard_weight_t = self.token_weights_N[rows] * objective.cross_entropy
        if not objective.needs_teacher:
            self._hard_(rows, logits_tV, hard_weight_t)
            return
        if objective.kd_temperature == 1:
            self._soft_(rows, logits_tV, teacher_tV, hard_weight_t)
            return
        hard_tV = None
        if hard_weight_t is not None:
            hard_tV = logits_tV.clone()
            self._hard_(rows, hard_tV, hard_weight_t)
        logits_tV.div_(objective.kd_temperature)
        if teacher_tV is not None:
            teacher_tV.div_(objective.kd_temperature)
        self._soft_(rows, logits_tV, teacher_tV, None)
        if hard_tV is not None and self.wants_gradient:
            logits_tV.add_(hard_tV)

    def _soft_(
        self, rows: slice, logits_tV: Tensor, teacher_tV: Tensor | None, hard_t: Tensor | None
    ) -> None:
        """The divergences of logits already softened, and cross-entropy where it is weighted."""
        label_t1 = self.token_ids_N[rows, None]
        observed_t = logits_tV.gather(1, label_t1).squeeze(1)
        if isinstance(self.teacher, SparseTargets):
            lse_t = self._sparse_(rows, logits_tV, hard_t)
        elif isinstance(self.teacher, SampledTargets):
            lse_t = self._sampled_(rows, logits_tV, hard_t)
        elif teacher_tV is not None and not self.objective.not_linear:
            lse_t = self._live_forward_kl_(rows, logits_tV, teacher_tV, hard_t)
        elif teacher_tV is not None:
            lse_t = self._live_(rows, logits_tV, teacher_tV, hard_t)
        if hard_t is not None:
            self.values[CE][rows] = lse_t - observed_t
            if self.wants_gradient:
                logits_tV.scatter_add_(1, label_t1, -hard_t[:, None])

    def _hard_(self, rows: slice, logits_tV: Tensor, weight_t: Tensor | None) -> None:
        label_t1 = self.token_ids_N[rows, None]
        observed_t1 = logits_tV.gather(1, label_t1)
        peak_t1, total_t1 = exponentials_(logits_tV)
        self.values[CE][rows] = (peak_t1 - observed_t1 + total_t1.log()).squeeze(1)
        if self.wants_gradient and weight_t is not None:
            logits_tV.mul_(weight_t[:, None] / total_t1)
            logits_tV.scatter_add_(1, label_t1, -weight_t[:, None])

    def _sparse_(self, rows: slice, logits_tV: Tensor, hard_t: Tensor | None) -> Tensor:
        teacher, softened = self.teacher, self._softened
        assert isinstance(teacher, SparseTargets)
        assert softened is not None
        top_ids_tK = teacher.top_ids[rows]
        log_q_tC = logits_tV.gather(1, top_ids_tK)
        total_t1 = None
        if softened.has_tail:
            # The row without its kept entries is the tail; its sum cannot cancel.
            logits_tV.scatter_(1, top_ids_tK, torch.finfo(logits_tV.dtype).min)
            tail_peak_t1, total_t1 = exponentials_(logits_tV)
            log_q_tC = torch.cat((log_q_tC, tail_peak_t1), 1)
        # Distances to the peak from here on: a logit of 20 is rounded to 1e-6, they are not.
        peak_t1 = log_q_tC.amax(1, keepdim=True)
        log_q_tC = log_q_tC.sub_(peak_t1)
        if total_t1 is not None:
            log_q_tC[:, -1:] += total_t1.log()
        log_sum_t1 = log_q_tC.logsumexp(1, keepdim=True)
        log_q_tC = log_q_tC.sub_(log_sum_t1).clamp_min_(LOWEST_LOGPROB)
        log_p_tC = softened.log_p[rows].clamp_min(LOWEST_LOGPROB)
        categories = Categories(
            log_p_tC, softened.p[rows], log_q_tC, log_q_tC.exp(), softened.has_tail
        )
        gradient_tC = self._gradient(rows, categories, hard_t)
        if self.wants_gradient:
            if total_t1 is not None:
                logits_tV.mul_(gradient_tC[:, -1:] / total_t1)
                gradient_tC = gradient_tC[:, :-1]
            logits_tV.scatter_(1, top_ids_tK, gradient_tC)
        return (peak_t1 + log_sum_t1).squeeze(1)

    def _gradient(self, rows: slice, categories: Categories, hard_t: Tensor | None) -> Tensor:
        """(t, C) gradient of all terms at the categories' logits, but for the observed token."""
        objective, q_tC = self.objective, categories.q
        scale_t = self.token_weights_N[rows] * (objective.kd_factor / objective.kd_temperature)
        gradient_tC = None
        for divergence, weight in objective.active:
            value_t, slope_tC = divergence.measure(categories)
            self.values[divergence.name][rows] = value_t * objective.kd_factor
            part_tC = slope_tC.mul_((scale_t * weight)[:, None])
            gradient_tC = part_tC if gradient_tC is None else gradient_tC.add_(part_tC)
        assert gradient_tC is not None
        of_softmax_t = -gradient_tC.sum(1)
        if hard_t is not None:
            of_softmax_t += hard_t
        return gradient_tC.addcmul_(q_tC, of_softmax_t[:, None])

    def _sampled_(self, rows: slice, logits_tV: Tensor, hard_t: Tensor | None) -> Tensor:
        teacher, objective = self.teacher, self.objective
        assert isinstance(teacher, SampledTargets)
        ((divergence, weight),) = objective.active
        ids_tS, probs_tS = teacher.ids[rows], teacher.probs[rows].to(logits_tV.dtype)
        log_q_tS = logits_tV.gather(1, ids_tS)
        peak_t1, total_t1 = exponentials_(logits_tV)
        lse_t1 = peak_t1 + total_t1.log()
        log_q_tS = log_q_tS.sub_(lse_t1).clamp_min_(LOWEST_LOGPROB)
        value_t = -(probs_tS * log_q_tS).sum(1) - teacher.entropy[rows]
        self.values[divergence.name][rows] = value_t * objective.kd_factor
        if self.wants_gradient:
            scale_t = self.token_weights_N[rows] * (
                weight * objective.kd_factor / objective.kd_temperature
            )
            of_softmax_t = scale_t * probs_tS.sum(1)
            if hard_t is not None:
                of_softmax_t += hard_t
            logits_tV.mul_(of_softmax_t[:, None] / total_t1)
            logits_tV.scatter_add_(1, ids_tS, -scale_t[:, None] * probs_tS)
        return lse_t1.squeeze(1)

    def _live_forward_kl_(
        self, rows: slice, logits_tV: Tensor, teacher_tV: Tensor, hard_t: Tensor | None
    ) -> Tensor:
        """Forward KL alone, which needs no logarithm of a whole row."""
        objective = self.objective
        ((divergence, weight),) = objective.active
        # Both rows stay exponentials: their totals are divided out where rows are scaled anyway.
        shift_(teacher_tV)
        taught_tV = teacher_tV.exp()
        taught_total_t1 = taught_tV.sum(1, keepdim=True)
        peak_t1 = shift_(logits_tV)
        gap_tV = teacher_tV.sub_(logits_tV)
        total_t1 = logits_tV.exp_().sum(1, keepdim=True)
        gap_tV.add_(total_t1.log() - taught_total_t1.log())
        value_t = gap_tV.mul_(taught_tV).sum(1).div_(taught_total_t1.squeeze(1))
        self.values[divergence.name][rows] = value_t * objective.kd_factor
        if self.wants_gradient:
            scale_t1 = self.token_weights_N[rows, None] * (
                weight * objective.kd_factor / objective.kd_temperature
            )
            of_softmax_t1 = scale_t1 if hard_t is None else scale_t1 + hard_t[:, None]
            logits_tV.mul_(of_softmax_t1 / total_t1)
            logits_tV.addcmul_(taught_tV, scale_t1 / taught_total_t1, value=-1)
        return (peak_t1 + total_t1.log()).squeeze(1)

    def _live_(
        self, rows: slice, logits_tV: Tensor, teacher_tV: Tensor, hard_t: Tensor | None
    ) -> Tensor:
        peak_t1, lse_t1, q_tV = log_softmax_(logits_tV)
        _, _, p_tV = log_softmax_(teacher_tV)
        gradient_tV = self._gradient(rows, Categories(teacher_tV, p_tV, logits_tV, q_tV), hard_t)
        if self.wants_gradient:
            logits_tV.copy_(gradient_tV)
        return (peak_t1 + lse_t1).squeeze(1)


def shift_(logits_tV: Tensor) -> Tensor:
    """Take each row's peak off it, which loses nothing; gives the peaks (t, 1)."""
    peak_t1 = logits_tV.amax(1, keepdim=True)
    logits_tV.sub_(peak_t1)
    return peak_t1


def exponentials_(logits_tV: Tensor) -> tuple[Tensor, Tensor]:
    """Turn rows of logits into exp(logit - peak); gives their peaks and totals (t, 1).

    measured: one CPU thread, V 151,936: 50 us a row, where softmax takes 78 and logsumexp 57, and
    neither gives the other's result.
    """
    peak_t1 = shift_(logits_tV)
    return peak_t1, logits_tV.exp_().sum(1, keepdim=True)


def log_softmax_(logits_tV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Turn rows of logits into finite logprobs; gives peaks, log totals (t, 1), probs (t, V)."""
    peak_t1 = shift_(logits_tV)
    probs_tV = logits_tV.exp()
    total_t1 = probs_tV.sum(1, keepdim=True)
    log_total_t1 = total_t1.log()
    logits_tV.sub_(log_total_t1).clamp_min_(LOWEST_LOGPROB)
    return peak_t1, log_total_t1, probs_tV.div_(total_t1)
