"""Heads with a loss, from hidden states to the gradients of hidden states and head: ours, peers.

Legend: N tokens, H hidden size of the student, V vocabulary, K kept teacher entries.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stillhouse.losses.divergences import JSD, ForwardKL
from stillhouse.losses.fused_linear import fused_linear_loss
from stillhouse.losses.head import HeadTensors
from stillhouse.losses.onednn import onednn_may_round, onednn_offers
from stillhouse.losses.soft_targets import LiveTeacher, SoftTargets, SparseTargets
from stillhouse.losses.terms import CROSS_ENTROPY, Objective

TOP_K = 64
_SPREAD = 3.0
"""Standard deviation of logits. assumption: near that of small language models; it changes which
tokens are likely, not how long a product takes."""
_LIGER_CHUNKS = (64, 128, 512)
_CHECKED_TOKENS = 64

Step = Callable[[], Tensor]
"""Gives the loss, with a graph to hidden states and head."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What every variant gets.

    Attributes:
        hidden_NH: of the student, requires a gradient.
        head_VH: of the student, requires a gradient.
        teacher_hidden: (N, H of the teacher).
        teacher_head: (V, H of the teacher).
        token_ids_N: observed tokens.
    """

    hidden_NH: Tensor
    head_VH: Tensor
    teacher_hidden: Tensor
    teacher_head: Tensor
    token_ids_N: Tensor

    @classmethod
    def draw(cls, tokens: int, vocab: int, hidden: int = 256, teacher_hidden: int = 512) -> Problem:
        """The same problem for the same sizes."""
        generator = torch.Generator().manual_seed(0)

        def normal(rows: int, columns: int, scale: float) -> Tensor:
            return torch.randn(rows, columns, generator=generator).mul_(scale)

        return cls(
            normal(tokens, hidden, 1.0).requires_grad_(),
            normal(vocab, hidden, _SPREAD / math.sqrt(hidden)).requires_grad_(),
            normal(tokens, teacher_hidden, 1.0),
            normal(vocab, teacher_hidden, _SPREAD / math.sqrt(teacher_hidden)),
            torch.randint(0, vocab, (tokens,), generator=generator),
        )

    def double(self) -> Problem:
        """The same problem in float64, for the reference."""
        return Problem(
            self.hidden_NH.detach().double().requires_grad_(),
            self.head_VH.detach().double().requires_grad_(),
            self.teacher_hidden.double(),
            self.teacher_head.double(),
            self.token_ids_N,
        )

    def teacher_logprobs(self) -> Iterator[Tensor]:
        """Some rows (n, V) after the other, of the live teacher."""
        for rows in self.teacher_hidden.split(64):
            yield (rows @ self.teacher_head.T).log_softmax(-1)

    def forget(self) -> None:
        """Drop the gradients of the last `run`."""
        self.hidden_NH.grad = self.head_VH.grad = None

    def gradients(self) -> tuple[Tensor, Tensor]:
        """At hidden states and head, after `run`."""
        hidden, head = self.hidden_NH.grad, self.head_VH.grad
        assert hidden is not None
        assert head is not None
        return hidden, head

    def run(self, step: Step) -> float:
        """One forward and backward pass; the loss."""
        self.forget()
        loss = step()
        loss.backward()
        return loss.item()


def _in(bf16: bool) -> Any:
    return torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()


# Dense torch ----------------------------------------------------------------------------------


def dense_cross_entropy(problem: Problem, bf16: bool) -> tuple[Step, ...]:
    """Cross-entropy on dense logits."""

    def step() -> Tensor:
        with _in(bf16):
            logits_NV = F.linear(problem.hidden_NH, problem.head_VH)
        return F.cross_entropy(logits_NV.float(), problem.token_ids_N)

    return (step,)


def dense_kl_ce(problem: Problem, bf16: bool) -> tuple[Step, ...]:
    """Half forward KL, half cross-entropy on dense logits, in three forms."""

    def logits() -> tuple[Tensor, Tensor]:
        with _in(bf16):
            student_NV = F.linear(problem.hidden_NH, problem.head_VH)
            with torch.no_grad():
                teacher_NV = F.linear(problem.teacher_hidden, problem.teacher_head)
        return student_NV.float(), teacher_NV.float()

    def usual() -> Tensor:
        student_NV, teacher_NV = logits()
        kl = F.kl_div(student_NV.log_softmax(-1), teacher_NV.softmax(-1), reduction="batchmean")
        return 0.5 * kl + 0.5 * F.cross_entropy(student_NV, problem.token_ids_N)

    def shared() -> Tensor:
        student_NV, teacher_NV = logits()
        logprobs_NV = student_NV.log_softmax(-1)
        teacher_NV = teacher_NV.log_softmax(-1)
        kl = F.kl_div(logprobs_NV, teacher_NV, reduction="batchmean", log_target=True)
        return 0.5 * kl + 0.5 * F.nll_loss(logprobs_NV, problem.token_ids_N)

    def mixed() -> Tensor:
        student_NV, teacher_NV = logits()
        with torch.no_grad():
            log_z_N1 = teacher_NV.logsumexp(-1, keepdim=True)
            probs_NV = teacher_NV.sub(log_z_N1).exp_()
            entropy = log_z_N1.mean() - probs_NV.mul(teacher_NV).sum() / len(teacher_NV)
            labels_N1 = problem.token_ids_N[:, None]
            probs_NV.mul_(0.5).scatter_add_(1, labels_N1, torch.full_like(log_z_N1, 0.5))
        return F.cross_entropy(student_NV, probs_NV) - 0.5 * entropy

    return shared, usual, mixed


def fastest(problem: Problem, steps: Sequence[Step]) -> Step:
    """The step that takes the least processor time, of one or more."""
    if len(steps) == 1:
        return steps[0]
    problem.run(steps[0])  # warms up
    return min(steps, key=lambda step: _seconds(lambda: problem.run(step)))


# Peers ----------------------------------------------------------------------------------------


def liger_jsd(problem: Problem, bf16: bool) -> tuple[Step, ...]:
    """Liger's chunked JSD without torch.compile, at several chunk sizes."""
    from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss

    def of(chunk: int) -> Step:
        loss = LigerFusedLinearJSDLoss(
            weight_hard_loss=0.0, weight_soft_loss=1.0, beta=0.5, compiled=False, chunk_size=chunk
        )

        def step() -> Tensor:
            with _in(bf16):
                found: Tensor = loss(
                    problem.hidden_NH,
                    problem.head_VH,
                    problem.teacher_hidden,
                    problem.teacher_head,
                    problem.token_ids_N,
                )
            return found

        return step

    tokens = len(problem.hidden_NH)
    return tuple(of(chunk) for chunk in _LIGER_CHUNKS if chunk <= tokens)


def trl_kl(problem: Problem, bf16: bool) -> tuple[Step, ...]:
    """TRL's chunked divergence kernel, forward KL."""
    from trl.kernels.chunked_divergence import ChunkedDivergenceFunction

    def step() -> Tensor:
        with _in(bf16):
            per_token_N: Tensor = ChunkedDivergenceFunction.apply(
                problem.hidden_NH,
                problem.head_VH,
                None,
                problem.teacher_hidden,
                problem.teacher_head,
                None,
                0.0,
            )[0]
        return per_token_N.mean()

    return (step,)


# Ours -----------------------------------------------------------------------------------------


def _ours(
    problem: Problem, bf16: bool, teacher: SoftTargets | None, objective: Objective
) -> tuple[Step, ...]:
    weights_N = torch.full((len(problem.hidden_NH),), 1 / len(problem.hidden_NH))
    head = HeadTensors(problem.head_VH)

    def step() -> Tensor:
        with _in(bf16):
            found = fused_linear_loss(
                problem.hidden_NH, head, problem.token_ids_N, teacher, objective, weights_N
            )
        return found.loss

    return (step,)


def ours(problem: Problem, bf16: bool) -> tuple[Step, ...]:
    """Half forward KL to a live teacher, half cross-entropy."""
    return _ours(problem, bf16, _live(problem), Objective(((ForwardKL(), 0.5),), 0.5))


def ours_jsd(problem: Problem, bf16: bool) -> tuple[Step, ...]:
    """JSD with a live teacher."""
    return _ours(problem, bf16, _live(problem), Objective(((JSD(0.5), 1.0),)))


def ours_cross_entropy(problem: Problem, bf16: bool) -> tuple[Step, ...]:
    """Cross-entropy alone."""
    return _ours(problem, bf16, None, CROSS_ENTROPY)


def ours_top64(problem: Problem, bf16: bool) -> tuple[Step, ...]:
    """Half forward KL to the teacher's 64 most likely tokens and its tail, half cross-entropy."""
    return _ours(problem, bf16, _kept(problem), Objective(((ForwardKL(), 0.5),), 0.5))


def _live(problem: Problem) -> LiveTeacher:
    return LiveTeacher(problem.teacher_hidden, HeadTensors(problem.teacher_head))


def _kept(problem: Problem) -> SparseTargets:
    parts = [rows.topk(TOP_K) for rows in problem.teacher_logprobs()]
    log_z_N = problem.hidden_NH.new_zeros(len(problem.hidden_NH))
    return SparseTargets(
        torch.cat([part.indices for part in parts]),
        torch.cat([part.values for part in parts]),
        log_z_N,
    )


# All, and how exact they are ------------------------------------------------------------------

Builder = Callable[[Problem, bool], tuple[Step, ...]]
VARIANTS: dict[str, Builder] = {
    "dense": dense_kl_ce,
    "cross_entropy": dense_cross_entropy,
    "ours": ours,
    "ours_top64": ours_top64,
    "ours_jsd": ours_jsd,
    "ours_cross_entropy": ours_cross_entropy,
    "liger_jsd": liger_jsd,
    "trl_kl": trl_kl,
}


def gradient_error(name: str, bf16: bool, vocab: int) -> float:
    """Norm of the gradient's error over its norm, on a few tokens, against dense float64.

    Args:
        name: of the variant.
        bf16: in bfloat16.
        vocab: of the problem.

    Returns:
        The larger of the errors at hidden states and at the head.
    """
    problem = Problem.draw(_CHECKED_TOKENS, vocab)
    problem.run(VARIANTS[name](problem, bf16)[0])
    exact = problem.double()
    exact.run(lambda: _reference(name, exact))
    errors = []
    for ours, theirs in zip(problem.gradients(), exact.gradients(), strict=True):
        errors.append(float((ours.double() - theirs).norm() / theirs.norm()))
    return float(f"{max(errors):.2g}")


def _reference(name: str, problem: Problem) -> Tensor:
    log_q_NV = (problem.hidden_NH @ problem.head_VH.T).log_softmax(-1)
    observed_N = -log_q_NV.gather(1, problem.token_ids_N[:, None]).squeeze(1)
    if name.endswith("cross_entropy"):
        return observed_N.mean()
    log_p_NV = torch.cat(list(problem.teacher_logprobs()))
    kl_N = (log_p_NV.exp() * (log_p_NV - log_q_NV)).sum(-1)
    if name == "trl_kl":
        return kl_N.mean()
    if name.endswith("jsd"):
        log_m_NV = torch.logaddexp(log_p_NV, log_q_NV) - math.log(2)
        taught_N = (log_p_NV.exp() * (log_p_NV - log_m_NV)).sum(-1)
        return (taught_N + (log_q_NV.exp() * (log_q_NV - log_m_NV)).sum(-1)).mean() / 2
    if name == "ours_top64":
        kl_N = _bucketed(log_p_NV, log_q_NV)
    return 0.5 * kl_N.mean() + 0.5 * observed_N.mean()


def _bucketed(log_p_NV: Tensor, log_q_NV: Tensor) -> Tensor:
    """Forward KL over the kept entries and one bucket for the rest."""
    top = log_p_NV.topk(TOP_K)
    rest_N = log_q_NV.scatter(1, top.indices, -torch.inf).logsumexp(-1)
    tail_N = 1 - top.values.exp().sum(-1)
    kept_N = (top.values.exp() * (top.values - log_q_NV.gather(1, top.indices))).sum(-1)
    return kept_N + tail_N * (tail_N.log() - rest_N)


# The machine's own rate -----------------------------------------------------------------------


def products(problem: Problem, bf16: bool, *, with_teacher: bool) -> Callable[[], None]:
    """Only the matrix products that a loss cannot do without, into memory that is there.

    Args:
        problem: the shapes.
        bf16: in bfloat16; either in whichever way is fastest here.
        with_teacher: with the teacher's head too.

    Returns:
        A function that runs them once.
    """
    wide = _products(problem, torch.float32, with_teacher)

    def by_onednn() -> None:
        with onednn_may_round():
            wide()

    if bf16:
        ways = [_products(problem, torch.bfloat16, with_teacher), by_onednn]
    else:
        ways = [wide, by_onednn] if onednn_offers("cpu") == "onednn float32" else [wide]
    for run in ways:
        run()  # warms up
    return min(ways, key=_seconds)


def _seconds(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def _products(problem: Problem, kind: torch.dtype, with_teacher: bool) -> Callable[[], None]:
    hidden_NH, head_VH = problem.hidden_NH.detach().to(kind), problem.head_VH.detach().to(kind)
    teacher, teacher_head = problem.teacher_hidden.to(kind), problem.teacher_head.to(kind)
    logits_NV = torch.zeros(len(hidden_NH), len(head_VH), dtype=kind)
    to_hidden, to_head = torch.empty_like(hidden_NH), torch.empty_like(head_VH)

    def run() -> None:
        if with_teacher:
            torch.mm(teacher, teacher_head.T, out=logits_NV)
        torch.mm(hidden_NH, head_VH.T, out=logits_NV)
        torch.mm(logits_NV, head_VH, out=to_hidden)
        torch.mm(logits_NV.T, hidden_NH, out=to_head)

    return run


def flops(problem: Problem, *, with_teacher: bool) -> int:
    """Multiplications and additions of `products`."""
    tokens, hidden = problem.hidden_NH.shape
    teacher = problem.teacher_hidden.shape[1] if with_teacher else 0
    return tokens * len(problem.head_VH) * (6 * hidden + 2 * teacher)
