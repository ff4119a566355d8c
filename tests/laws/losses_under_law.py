"""Loss functions in one form, `(student logits, teacher logits, T, T² on) -> nats per token`.

A law asks nothing else of a loss, so a loss of another library stands trial in one more line.
"""

import torch

from stillhouse.losses.dense import forward_kl
from stillhouse.losses.divergences import ForwardKL
from stillhouse.losses.fused_linear import fused_linear_loss
from stillhouse.losses.head import HeadTensors
from stillhouse.losses.soft_targets import SparseTargets
from stillhouse.losses.sparse import sparse_divergence
from stillhouse.losses.terms import Objective


def sparse_targets(teacher_NV, top_k, kd_temperature):
    logprobs_NV = teacher_NV.log_softmax(-1)
    top = logprobs_NV.topk(top_k)
    log_z = (logprobs_NV / kd_temperature).logsumexp(-1)
    return SparseTargets(top.indices, top.values, log_z)


def dense(student_NV, teacher_NV, kd_temperature, t2_scaling):
    return forward_kl(student_NV, teacher_NV, kd_temperature=kd_temperature, t2_scaling=t2_scaling)


def sparse(top_k):
    def loss(student_NV, teacher_NV, kd_temperature, t2_scaling):
        targets = sparse_targets(teacher_NV, top_k or teacher_NV.shape[1], kd_temperature)
        return sparse_divergence(
            ForwardKL(), student_NV, targets, kd_temperature=kd_temperature, t2_scaling=t2_scaling
        )

    return loss


class _PerToken(torch.autograd.Function):
    """The fused loss of every token by itself; its sum has the gradient of the fused sum."""

    @staticmethod
    def forward(ctx, student_NV, targets, objective):
        with torch.enable_grad():
            hidden = student_NV.detach().requires_grad_()
            ones = torch.ones(len(hidden), dtype=hidden.dtype)
            ids = torch.zeros(len(hidden), dtype=torch.int64)
            head = HeadTensors(torch.eye(hidden.shape[1], dtype=hidden.dtype))
            fused = fused_linear_loss(hidden, head, ids, targets, objective, ones, chunk_tokens=3)
            (ctx.gradient,) = torch.autograd.grad(fused.loss, hidden)
        return fused.per_token["forward_kl"].clone()

    @staticmethod
    def backward(ctx, gradient_N):
        return ctx.gradient * gradient_N[:, None], None, None


def fused(top_k):
    def loss(student_NV, teacher_NV, kd_temperature, t2_scaling):
        targets = sparse_targets(teacher_NV, top_k or teacher_NV.shape[1], kd_temperature)
        objective = Objective(kd_temperature=kd_temperature, t2_scaling=t2_scaling)
        return _PerToken.apply(student_NV, targets, objective)

    return loss


LOSSES = {
    "dense": dense,
    "sparse-all": sparse(0),
    "sparse-8": sparse(8),
    "sparse-1": sparse(1),
    "fused-all": fused(0),
    "fused-8": fused(8),
}
"""Name -> loss; `all` keeps the whole vocabulary."""
EXACT = ("dense", "sparse-all", "fused-all")
"""Those that must give the dense value."""
