"""Head and loss in one step: hidden states in, one scalar out, no (tokens, vocabulary) tensor.

    logits = hidden @ head.T          one chunk of rows at a time
    loss   = sum of token_weight * (forward_kl * KL_T + cross_entropy * CE)
    logits <- d loss / d logits       in place, while they are there

The gradient is formed in the forward pass, so the weights of the tokens must be final when it
runs; the backward pass only multiplies by the incoming scalar.

Legend: N tokens, n tokens of one chunk, H hidden size, V vocabulary, K kept teacher entries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from stillhouse.core.errors import ShapeError
from stillhouse.losses.sparse import SparseTargets, kept_terms, teacher_log_probs
from stillhouse.losses.terms import CROSS_ENTROPY, Objective

CHUNK_LOGITS = 1 << 23
"""Logits of one chunk, 32 MB in float32.

measured: one CPU thread, H 256, V 32,000 and 151,936: 16 to 64 MB are within 10 % of the best;
at 4 MB the sums into the head's gradient cost 1.5 to 4 times as much.
"""


@dataclass(frozen=True, slots=True)
class HeadTensors:
    """The output head of a language model: logits = softcap(logit_scale * (h @ W.T + b)).

    Attributes:
        weight_VH: (V, H); rows from `vocab_size` on only pad the vocabulary and are not used.
        bias_V: (V,) or None.
        logit_scale: factor of the logits, no unit.
        logit_softcap: c in c * tanh(logits / c), > 0, or None where there is no cap.
        vocab_size: rows in use; 0 means all.
    """

    weight_VH: Tensor
    bias_V: Tensor | None = None
    logit_scale: float = 1.0
    logit_softcap: float | None = None
    vocab_size: int = 0

    @property
    def num_used(self) -> int:
        """Rows of the weight that are real tokens."""
        return self.vocab_size or self.weight_VH.shape[0]

    def logits(self, hidden: Tensor) -> Tensor:
        """The dense logits (..., V) of hidden states (..., H), differentiable."""
        used = self.num_used
        bias = None if self.bias_V is None else self.bias_V[:used]
        raw = torch.nn.functional.linear(hidden, self.weight_VH[:used], bias) * self.logit_scale
        if self.logit_softcap is None:
            return raw
        return self.logit_softcap * torch.tanh(raw / self.logit_softcap)


@dataclass(frozen=True, slots=True)
class FusedLoss:
    """One scalar to differentiate, and what it was made of.

    Attributes:
        loss: (), the weighted sum over terms and tokens.
        forward_kl_N: (N,) nats per token, detached; zeros when the term has weight 0.
        cross_entropy_N: (N,) nats per token, detached; zeros when the term has weight 0.
    """

    loss: Tensor
    forward_kl_N: Tensor
    cross_entropy_N: Tensor


def fused_linear_loss(
    hidden_NH: Tensor,
    head: HeadTensors,
    targets: SparseTargets,
    objective: Objective,
    token_weights_N: Tensor,
    *,
    chunk_tokens: int = 0,
) -> FusedLoss:
    """The weighted sum of loss terms over tokens, from hidden states and the head.

    Equal in value and gradient to `sum(w * (a * sparse_forward_kl + b * cross_entropy))` on dense
    logits. A head that needs no gradient costs no gradient product. Under `torch.no_grad` only
    the values are computed. Products run in the autocast type if one is set, in the type of the
    input on a GPU, else in float32; everything after them in float32 (float64 stays).

    Args:
        hidden_NH: (N, H), the last hidden states at the positions that predict the tokens.
        head: the output head; its weight and bias receive gradients if they require them.
        targets: N tokens; `SparseTargets.hard` when only cross-entropy is wanted.
        objective: term weights and kd_temperature; a term of weight 0 is not computed.
        token_weights_N: (N,), the *final* weight of each token, most often mask / (number of
            trained tokens in the global batch).
        chunk_tokens: rows of one chunk; 0 chooses them by `CHUNK_LOGITS`.

    Returns:
        The scalar and detached per-token values; 0 with a graph when N = 0.

    Raises:
        ShapeError: hidden states, targets and weights differ in N.

    Source: the in-place gradient follows M. Galle's efficient_cross_entropy and Liger-Kernel
    (Hsu et al. 2024, arXiv:2410.10989), extended to sparse soft targets with a tail.
    """
    counts = {len(hidden_NH), len(targets.token_ids), len(targets.top_ids), len(token_weights_N)}
    if len(counts) > 1:
        raise ShapeError(
            f"{len(hidden_NH)} hidden states, {len(targets.token_ids)} target tokens, "
            f"{len(targets.top_ids)} rows of soft targets and {len(token_weights_N)} weights; "
            "they must be equally many"
        )
    tensors = (hidden_NH, head.weight_VH, head.bias_V)
    wanted = [torch.is_grad_enabled() and t is not None and t.requires_grad for t in tensors]
    work = _Work(head, targets, objective, token_weights_N, wanted, chunk_tokens)
    return FusedLoss(*_FusedLinear.apply(*tensors, work))


@dataclass(frozen=True, slots=True)
class _Work:
    """What stays fixed over the chunks."""

    head: HeadTensors
    targets: SparseTargets
    objective: Objective
    token_weights_N: Tensor
    wanted: list[bool]
    chunk_tokens: int

    def chunk(self) -> int:
        return self.chunk_tokens or max(1, CHUNK_LOGITS // self.head.num_used)

    def cut(self, rows: slice) -> tuple[SparseTargets, Tensor]:
        whole = self.targets
        part = SparseTargets(
            whole.token_ids[rows], whole.top_ids[rows], whole.top_logprobs[rows], whole.log_z[rows]
        )
        return part, self.token_weights_N[rows]


@dataclass(slots=True)
class _Gradients:
    """Gradients of the loss, grown chunk by chunk; None where none is wanted."""

    hidden_NH: Tensor | None = None
    weight_VH: Tensor | None = None
    bias_V: Tensor | None = None


@dataclass(slots=True)
class _Products:
    """The matrix products of a chunk, in the type that they run in.

    `softmax_type` is float32 (float64 for float64 input), `product_type` may be narrower.
    """

    work: _Work
    hidden_NH: Tensor
    weight_VH: Tensor
    product_type: torch.dtype
    softmax_type: torch.dtype
    gradients: _Gradients = field(default_factory=_Gradients)

    @classmethod
    def of(cls, hidden_NH: Tensor, work: _Work) -> _Products:
        device = hidden_NH.device.type
        softmax = torch.float64 if hidden_NH.dtype == torch.float64 else torch.float32
        product = softmax
        if torch.is_autocast_enabled(device):
            product = torch.get_autocast_dtype(device)
        elif device == "cuda":
            product = hidden_NH.dtype
        used = work.head.weight_VH[: work.head.num_used].to(product)
        products = cls(work, hidden_NH.to(product), used, product, softmax)
        products._open_gradients()
        return products

    def _open_gradients(self) -> None:
        hidden, weight, bias = self.work.wanted
        like, shape = self.hidden_NH, self.work.head.weight_VH.shape
        if hidden:
            self.gradients.hidden_NH = torch.empty_like(like, dtype=self.softmax_type)
        if weight:
            self.gradients.weight_VH = like.new_zeros(shape, dtype=self.softmax_type)
        if bias:
            self.gradients.bias_V = like.new_zeros(shape[:1], dtype=self.softmax_type)

    def logits(self, rows: slice) -> tuple[Tensor, Tensor | None]:
        """Logits of a chunk, and their slope under a soft cap where a gradient is wanted."""
        head = self.work.head
        logits_nV = (self.hidden_NH[rows] @ self.weight_VH.T).to(self.softmax_type)
        if head.bias_V is not None:
            logits_nV += head.bias_V[: head.num_used]
        if head.logit_scale != 1.0:
            logits_nV *= head.logit_scale
        if head.logit_softcap is None:
            return logits_nV, None
        slope_nV = logits_nV.div_(head.logit_softcap).tanh_().square().neg_().add_(1)
        return logits_nV.mul_(head.logit_softcap), slope_nV

    def add(self, gradient_nV: Tensor, slope_nV: Tensor | None, rows: slice) -> None:
        """Carry the gradient at a chunk's logits to hidden states, weight and bias."""
        head, out = self.work.head, self.gradients
        if slope_nV is not None:
            gradient_nV *= slope_nV
        if head.logit_scale != 1.0:
            gradient_nV *= head.logit_scale
        narrow_nV = gradient_nV.to(self.product_type)
        if out.hidden_NH is not None:
            out.hidden_NH[rows] = narrow_nV @ self.weight_VH
        if out.weight_VH is not None:
            used_VH = out.weight_VH[: head.num_used]
            if self.product_type == self.softmax_type:
                used_VH.addmm_(narrow_nV.T, self.hidden_NH[rows])
            else:
                used_VH += narrow_nV.T @ self.hidden_NH[rows]
        if out.bias_V is not None:
            out.bias_V[: head.num_used] += gradient_nV.sum(0)


class _FusedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_NH: Tensor, weight_VH: Tensor, bias_V: Tensor | None, work: _Work
    ) -> tuple[Tensor, Tensor, Tensor]:
        products = _Products.of(hidden_NH, work)
        per_token = torch.zeros(
            (2, len(hidden_NH)), dtype=products.softmax_type, device=hidden_NH.device
        )
        with torch.autocast(hidden_NH.device.type, enabled=False):
            for start in range(0, len(hidden_NH), work.chunk()):
                rows = slice(start, start + work.chunk())
                per_token[:, rows] = _one_chunk(products, rows)
        kl_N, ce_N = per_token
        objective = work.objective
        summed_N = objective.forward_kl * kl_N + objective.cross_entropy * ce_N
        loss = (work.token_weights_N.to(summed_N.dtype) * summed_N).sum()
        done = products.gradients
        ctx.gradients = [
            None if gradient is None or of is None else gradient.to(of.dtype)
            for gradient, of in (
                (done.hidden_NH, hidden_NH),
                (done.weight_VH, weight_VH),
                (done.bias_V, bias_V),
            )
        ]
        ctx.mark_non_differentiable(kl_N, ce_N)
        return loss, kl_N, ce_N

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_unused: Tensor) -> tuple[Tensor | None, ...]:
        carried = (
            None if part is None else part * gradient.to(part.dtype) for part in ctx.gradients
        )
        return (*carried, None)


def _one_chunk(products: _Products, rows: slice) -> Tensor:
    """(2, n): forward KL and cross-entropy of a chunk; adds its gradients to `products`."""
    work = products.work
    wants_gradient = any(work.wanted)
    logits_nV, slope_nV = products.logits(rows)
    *before, last = _passes(work, rows)
    copies = [(one, logits_nV.clone()) for one in before]
    values = last.run_(logits_nV, wants_gradient)
    for one, copy_nV in copies:
        values += one.run_(copy_nV, wants_gradient)
        logits_nV += copy_nV
    if wants_gradient:
        products.add(logits_nV, slope_nV, rows)
    return values


def _passes(work: _Work, rows: slice) -> list[_Pass]:
    """One pass over the logits where both terms see them at one temperature, else two."""
    objective = work.objective
    targets, token_weights_n = work.cut(rows)
    kl_weight_n = token_weights_n * objective.forward_kl if objective.forward_kl else None
    ce_weight_n = token_weights_n * objective.cross_entropy if objective.cross_entropy else None
    hard = _Pass(SparseTargets.hard(targets.token_ids), CROSS_ENTROPY, None, ce_weight_n)
    if kl_weight_n is None:
        return [hard]
    if ce_weight_n is None or objective.kd_temperature == 1:
        return [_Pass(targets, objective, kl_weight_n, ce_weight_n)]
    return [_Pass(targets, objective, kl_weight_n, None), hard]


@dataclass(frozen=True, slots=True)
class _Pass:
    """Losses and gradient at one temperature T, with one exponential per logit.

    The kept entries are taken out of the row, which leaves the tail; `tail` below is its softmax.

        d KL / d logit of a kept entry  = (mass * q - p) / T        mass = sum of p, 1 but for
        d KL / d logit of the tail      = tail * (mass * qt - pt) / T              rounding
    """

    targets: SparseTargets
    objective: Objective
    kl_weight_n: Tensor | None
    ce_weight_n: Tensor | None

    def run_(self, logits_nV: Tensor, wants_gradient: bool) -> Tensor:
        """(2, n) losses in nats; `logits_nV` is overwritten, by the gradient where wanted."""
        targets, temperature = self.targets, self.objective.kd_temperature
        if temperature != 1:
            logits_nV /= temperature
        label_n1 = targets.token_ids[:, None]
        observed_n = logits_nV.gather(1, label_n1).squeeze(1)
        kept_nK = logits_nV.gather(1, targets.top_ids)
        tail_sum_n1, tail_lse_n = _to_tail_(logits_nV, targets.top_ids)
        lse_n = torch.logaddexp(tail_lse_n, kept_nK.logsumexp(1))
        kept_nK -= lse_n[:, None]
        p_nK, pt_n = teacher_log_probs(targets, temperature)
        if targets.top_ids.shape[1] == logits_nV.shape[1]:
            pt_n = torch.zeros_like(pt_n)
        values = logits_nV.new_zeros((2, len(logits_nV)))
        kept_gradient_nK, tail_gradient_n = torch.zeros_like(kept_nK), torch.zeros_like(lse_n)
        q_nK, qt_n = kept_nK.exp(), (tail_lse_n - lse_n).exp()
        if self.kl_weight_n is not None:
            tail_n = torch.xlogy(pt_n, pt_n) - pt_n * (tail_lse_n - lse_n)
            kl_n = kept_terms(p_nK, kept_nK) + torch.where(pt_n > 0, tail_n, 0.0)
            values[0] = kl_n * self.objective.kl_factor
            p_nK.exp_()
            mass_n = p_nK.sum(1) + pt_n
            factor_n = self.kl_weight_n * (self.objective.kl_factor / temperature)
            kept_gradient_nK += factor_n[:, None] * (mass_n[:, None] * q_nK - p_nK)
            tail_gradient_n += factor_n * (mass_n * qt_n - pt_n)
        if self.ce_weight_n is not None:
            values[1] = lse_n - observed_n
            kept_gradient_nK += self.ce_weight_n[:, None] * q_nK
            tail_gradient_n += self.ce_weight_n * qt_n
        if wants_gradient:
            logits_nV *= tail_gradient_n[:, None] / tail_sum_n1
            logits_nV.scatter_(1, targets.top_ids, kept_gradient_nK)
            if self.ce_weight_n is not None:
                logits_nV.scatter_add_(1, label_n1, -self.ce_weight_n[:, None])
        return values


def _to_tail_(logits_nV: Tensor, top_ids_nK: Tensor) -> tuple[Tensor, Tensor]:
    """Turn logits into exponentials of the tail; their sums (n, 1) and log sum (n,)."""
    lowest = torch.finfo(logits_nV.dtype)
    logits_nV.scatter_(1, top_ids_nK, -torch.inf)
    peak_n1 = logits_nV.amax(1, keepdim=True).clamp_min_(lowest.min)
    logits_nV.sub_(peak_n1).exp_()
    sum_n1 = logits_nV.sum(1, keepdim=True)
    return sum_n1.clamp_min(lowest.tiny), (peak_n1 + sum_n1.log()).squeeze(1)
