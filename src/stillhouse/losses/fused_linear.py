"""Head and loss in one step: hidden states in, one scalar out, no (tokens, vocabulary) tensor.

    logits = hidden @ head.T          one chunk of rows at a time
    loss   = sum of token_weight * (divergences + cross-entropy)
    logits <- d loss / d logits       in place, a few rows at a time, while they are there

The gradient is formed in the forward pass, so the weights of the tokens must be final when it
runs; the backward pass only multiplies by the incoming scalar.

Legend: N tokens, n tokens of one chunk, H hidden size, V vocabulary, r rank of an adapter.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from stillhouse.core.errors import ShapeError, UsageError
from stillhouse.losses.head import HeadTensors
from stillhouse.losses.products import Gradients, HeadProducts, Precision
from stillhouse.losses.row_losses import RowLosses
from stillhouse.losses.row_threads import run_rows
from stillhouse.losses.soft_targets import LiveTeacher, SampledTargets, SoftTargets
from stillhouse.losses.terms import Objective

CHUNK_ROWS = 256
"""Rows of one chunk where memory allows.

measured: one CPU thread with AMX, V 151,936, H 256: products of 53, 104, 128 and 256 rows reach
0.72, 0.83, 0.9 and 1 times the rate of 512 rows in float32, and 0.45, 0.72, 0.85 and 1 times with
bfloat16 inside: each reads the whole head.
"""
CHUNK_BYTES = 32 << 20
"""Logits of one chunk that any machine has room for."""
HEAD_SHARE, HEAD_SHARE_BF16 = 0.4, 1.3
"""Logits of one chunk as a share of the head in float32, where that is more.

measured: peaks of 1.4 and 2.4 times the gradients' bytes; bfloat16 products are so fast that
reading the head is what small chunks wait for.
"""
TILE_BYTES = 2400 << 10
"""Logits that are worked on at once; with a live teacher a quarter of it, as more lies beside it.

measured: a core with 2 MB of second cache, V 151,936: four rows alone and one row of two models
are each within 10 % of the best; four rows of two models cost twice as much a row.
"""


@dataclass(frozen=True, slots=True)
class FusedLoss:
    """One scalar to differentiate, and what it was made of.

    Attributes:
        loss: (), the weighted sum over terms and tokens.
        per_token: name of each term of a weight above 0 -> (N,) nats per token, detached.
    """

    loss: Tensor
    per_token: dict[str, Tensor]


def fused_linear_loss(  # noqa: PLR0913 - each is a thing of its own, made at another place
    hidden_NH: Tensor,
    head: HeadTensors,
    token_ids_N: Tensor,
    teacher: SoftTargets | None,
    objective: Objective,
    token_weights_N: Tensor,
    *,
    chunk_tokens: int = 0,
) -> FusedLoss:
    """The weighted sum of loss terms over tokens, from hidden states and the head.

    Equal in value and gradient to the same sum over dense logits. A head that needs no gradient
    costs no gradient product, and neither does a frozen head below an adapter. Under
    `torch.no_grad` only the values are computed. Products run in the autocast type if one is set,
    in the type of the input on a GPU, else in float32; bfloat16 on a CPU means float32 products
    that round inside, where `onednn.onednn_offers` it. Everything after them is float32 (float64
    stays).

    Args:
        hidden_NH: (N, H), the last hidden states at the positions that predict the tokens.
        head: the output head; weight, bias and adapter receive gradients if they require them.
        token_ids_N: (N,) int64, the observed tokens.
        teacher: soft targets of N tokens; None when only cross-entropy is wanted.
        objective: terms, weights and kd_temperature; a term of weight 0 is not computed.
        token_weights_N: (N,), the *final* weight of each token, most often mask / (number of
            trained tokens in the global batch).
        chunk_tokens: rows of one chunk; 0 chooses them by the head's size.

    Returns:
        The scalar and detached per-token values; 0 with a graph when N = 0.

    Raises:
        ShapeError: hidden states, targets and weights differ in N, or two vocabularies in V.
        UsageError: the objective asks more of the teacher than the soft targets hold.

    Source: the in-place gradient follows M. Galle's efficient_cross_entropy and Liger-Kernel
    (Hsu et al. 2024, arXiv:2410.10989), extended to soft targets of every kind.
    """
    _check_counts(hidden_NH, token_ids_N, teacher, token_weights_N)
    _check_teacher(head, teacher, objective)
    low_rank = head.low_rank
    shrunk_Nr = None if low_rank is None else low_rank.shrink(hidden_NH)
    up_Vr = None if low_rank is None else low_rank.up_Vr
    tensors = (hidden_NH, head.weight_VH, head.bias_V, shrunk_Nr, up_Vr)
    wanted = [torch.is_grad_enabled() and t is not None and t.requires_grad for t in tensors]
    precision = Precision.of(hidden_NH)
    losses = RowLosses(
        objective,
        token_ids_N.long(),
        token_weights_N.detach().to(precision.softmax),
        teacher,
        head.num_used,
        wants_gradient=any(wanted),
    )
    work = _Work(head, losses, precision, wanted, _teacher_products(losses), chunk_tokens)
    return FusedLoss(_FusedLinear.apply(*tensors, work), losses.values)


def _check_counts(
    hidden_NH: Tensor, token_ids_N: Tensor, teacher: SoftTargets | None, weights_N: Tensor
) -> None:
    counts = {
        "hidden states": len(hidden_NH),
        "observed tokens": len(token_ids_N),
        "weights": len(weights_N),
    }
    if isinstance(teacher, LiveTeacher):
        counts["hidden states of the teacher"] = len(teacher.hidden_NH)
    elif isinstance(teacher, SampledTargets):
        counts |= {"rows of drawn tokens": len(teacher.ids), "entropies": len(teacher.entropy)}
    elif teacher is not None:
        counts |= {"rows of soft targets": len(teacher.top_ids), "log Z": len(teacher.log_z)}
    if len(set(counts.values())) > 1:
        named = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise ShapeError(f"{named}; they must be equally many")


def _check_teacher(head: HeadTensors, teacher: SoftTargets | None, objective: Objective) -> None:
    if not objective.needs_teacher:
        return
    names = ", ".join(divergence.name for divergence, _ in objective.active)
    if teacher is None:
        raise UsageError(
            f"the loss terms {names} need a teacher, and there are no soft targets",
            "pass soft targets, or minimise cross_entropy alone",
        )
    if isinstance(teacher, SampledTargets) and objective.not_linear:
        raise UsageError(
            f"drawn tokens give no unbiased {', '.join(objective.not_linear)}: a loss that is not "
            "linear in the teacher needs its probabilities",
            "minimise forward_kl, or store top_k targets",
        )
    if isinstance(teacher, LiveTeacher) and teacher.head.num_used != head.num_used:
        raise ShapeError(
            f"the student's head has {head.num_used} tokens, the teacher's {teacher.head.num_used}",
            "set vocab_size of both to the ids of their common tokenizer: rows behind it pad",
        )


@dataclass(frozen=True, slots=True)
class _Work:
    """What stays fixed over the chunks."""

    head: HeadTensors
    losses: RowLosses
    precision: Precision
    wanted: list[bool]
    teacher: HeadProducts | None
    chunk_tokens: int

    @property
    def _row_bytes(self) -> int:
        return self.head.num_used * self.precision.softmax.itemsize

    def chunk(self) -> int:
        """Rows of logits in memory at once."""
        share = HEAD_SHARE_BF16 if self.precision.is_narrow else HEAD_SHARE
        room = max(CHUNK_BYTES, share * self._row_bytes * self.head.weight_VH.shape[1])
        fitting = int(room) // (self._row_bytes * (2 if self.losses.is_live else 1))
        return self.chunk_tokens or min(CHUNK_ROWS, max(1, fitting))

    def tile(self, device: str) -> int:
        """Rows that are worked on at once."""
        if device != "cpu":
            return self.chunk()
        fitting = TILE_BYTES // (self._row_bytes * (4 if self.losses.is_live else 1))
        return max(1, fitting)


class _FusedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        tensors: Sequence[Tensor | None] = inputs[:5]
        work: _Work = inputs[5]
        hidden_NH = inputs[0]
        losses = work.losses
        products = HeadProducts(work.head, hidden_NH, tensors[3], work.precision)
        products.gradients = Gradients.like(tuple(tensors), work.wanted, work.precision.softmax)
        with torch.autocast(hidden_NH.device.type, enabled=False):
            _run_chunks(products, work)
        products.close()
        summed_N = torch.zeros_like(losses.token_weights_N)
        for name, weight in losses.objective.weights.items():
            summed_N += weight * losses.values[name]
        ctx.types = [None if of is None else of.dtype for of in tensors]
        ctx.save_for_backward(
            *(
                gradient if gradient is None or of == torch.float16 else gradient.to(of)
                for gradient, of in zip(products.gradients.all(), ctx.types, strict=True)
            )
        )
        return (losses.token_weights_N * summed_N).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        # On a CPU the usual 1 is worth a look: it saves a second tensor of the head's size.
        is_one = gradient.device.type == "cpu" and gradient.item() == 1
        # A half-precision gradient is scaled before it is narrowed, or small ones would vanish.
        carried = (
            None if part is None else (part if is_one else part * gradient.to(part.dtype)).to(of)
            for part, of in zip(ctx.saved_tensors, ctx.types, strict=True)
        )
        return (*carried, None)


def _run_chunks(products: HeadProducts, work: _Work) -> None:
    """Values of all rows, and their gradients in `products`."""
    hidden_NH, losses, head = products.hidden_NH, work.losses, work.head
    num_rows, chunk = len(hidden_NH), work.chunk()
    shape = (min(chunk, num_rows), head.num_used)
    room_nV = torch.empty(shape, dtype=work.precision.softmax, device=hidden_NH.device)
    teacher = work.teacher
    teacher_room_nV = None if teacher is None else torch.empty_like(room_nV)
    for start in range(0, num_rows, chunk):
        rows = slice(start, min(start + chunk, num_rows))
        logits_nV = room_nV[: rows.stop - start]
        products.logits_(rows, logits_nV)
        teacher_nV = None
        if teacher is not None and teacher_room_nV is not None:
            teacher_nV = teacher_room_nV[: rows.stop - start]
            teacher.logits_(rows, teacher_nV)
        run = functools.partial(_run_tiles, work, rows, logits_nV, teacher_nV)
        run_rows(run, len(logits_nV), logits_nV.device.type)
        if losses.wants_gradient:
            products.add(logits_nV, rows)


def _teacher_products(losses: RowLosses) -> HeadProducts | None:
    live = losses.teacher
    if not losses.is_live or not isinstance(live, LiveTeacher):
        return None
    low_rank = live.head.low_rank
    with torch.no_grad():
        shrunk_Nr = None if low_rank is None else low_rank.shrink(live.hidden_NH)
    return HeadProducts(live.head, live.hidden_NH, shrunk_Nr, Precision.of(live.hidden_NH))


def _run_tiles(
    work: _Work, rows: slice, logits_nV: Tensor, teacher_nV: Tensor | None, part: slice
) -> None:
    """Loss and gradient of a part of a chunk's rows, a few of them at a time."""
    step, live = work.tile(logits_nV.device.type), work.losses.teacher
    for start in range(part.start, part.stop, step):
        end = min(start + step, part.stop)
        logits_tV, teacher_tV = logits_nV[start:end], None
        if teacher_nV is not None and isinstance(live, LiveTeacher):
            teacher_tV = teacher_nV[start:end]
            _cap_(teacher_tV, live.head.logit_softcap)
        slope_tV = _cap_(logits_tV, work.head.logit_softcap)
        work.losses.run_(slice(rows.start + start, rows.start + end), logits_tV, teacher_tV)
        if slope_tV is not None and work.losses.wants_gradient:
            logits_tV.mul_(slope_tV)


def _cap_(logits_tV: Tensor, cap: float | None) -> Tensor | None:
    """Apply a soft cap c * tanh(logits / c) in place; its slope (t, V), or None without a cap."""
    if cap is None:
        return None
    logits_tV.div_(cap).tanh_()
    slope_tV = logits_tV.square().neg_().add_(1)
    logits_tV.mul_(cap)
    return slope_tV
