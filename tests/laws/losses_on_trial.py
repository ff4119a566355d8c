"""Our losses in the two forms of `stillhouse.testing.losses`, with what they claim."""

import torch

from stillhouse.losses.class_level import class_divergence
from stillhouse.losses.class_terms import ClassRows, class_linear_loss
from stillhouse.losses.dense import dense_divergence
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
from stillhouse.losses.fused_linear import fused_linear_loss
from stillhouse.losses.head import HeadTensors
from stillhouse.losses.soft_targets import LiveTeacher, SampledTargets, SparseTargets
from stillhouse.losses.sparse import sampled_forward_kl, sparse_divergence
from stillhouse.losses.terms import CROSS_ENTROPY, Objective, UnitWeights
from stillhouse.testing import losses as claimed

DIVERGENCES = {
    ForwardKL(): claimed.forward_kl(),
    ReverseKL(): claimed.reverse_kl(),
    JSD(): claimed.jsd(0.5),
    JSD(0.1): claimed.jsd(0.1),
    JSD(0.01): claimed.jsd(0.01),
    JSD(0.99): claimed.jsd(0.99),
    SkewKL(): claimed.skew_kl(0.1),
    SkewReverseKL(): claimed.skew_reverse_kl(0.1),
    TVD(): claimed.tvd(),
    AKL(): claimed.akl(0.5),
    AlphaBeta(): claimed.alpha_beta(0.2, 0.7),
    AlphaBeta(0.5, 0.5): claimed.alpha_beta(0.5, 0.5),
    AlphaBeta(1.0, 0.0): claimed.alpha_beta(1, 0),
    AlphaBeta(0.0, 1.0): claimed.alpha_beta(0, 1),
}
"""Ours -> the textbook's."""


NARROW_ENDS = 2e-7
"""float32 over a JSD's weight: near its ends it is a small difference of large numbers."""
DENSE_SPARSE = 2.5e-6
"""Largest deviation in float32 on dense logits, where the tail is a sum of rounded logprobs."""


def float32_bound(formula):
    weight = formula.jsd_weight or 0.5
    return max(1e-6, NARROW_ENDS / min(weight, 1 - weight))


def wide(values):
    return values if values.dtype == torch.float64 else values.float()


def sparse_targets(teacher_NV, top_k, kd_temperature):
    logprobs_NV = wide(teacher_NV.detach()).log_softmax(-1)
    top = logprobs_NV.topk(min(top_k or teacher_NV.shape[1], teacher_NV.shape[1]))
    return SparseTargets(top.indices, top.values, (logprobs_NV / kd_temperature).logsumexp(-1))


def as_stored(top_k):
    """The teacher's logits as far as stored targets know them: a tail without its shape."""

    def logits(teacher_NV, kd_temperature):
        stored = sparse_targets(teacher_NV, top_k, kd_temperature)
        log_p_NK = stored.top_logprobs.double() / kd_temperature - stored.log_z.double()[:, None]
        tail_N1 = (1 - log_p_NK.exp().sum(-1, keepdim=True)).clamp_min(1e-30)
        spread = (tail_N1 / max(teacher_NV.shape[1] - top_k, 1)).log()
        whole = spread.expand(teacher_NV.shape).scatter(-1, stored.top_ids, log_p_NK)
        return whole * kd_temperature

    return logits


def live_teacher(teacher_NV, _top_k, _kd_temperature):
    eye = torch.eye(teacher_NV.shape[1], dtype=teacher_NV.dtype, device=teacher_NV.device)
    return LiveTeacher(teacher_NV.detach(), HeadTensors(eye))


def drawn(teacher_NV, _top_k, kd_temperature, num_draws=20):
    log_p = (wide(teacher_NV.detach()) / kd_temperature).log_softmax(-1)
    shape = (len(log_p), num_draws)
    ids = torch.multinomial(log_p.exp(), num_draws, replacement=True) if len(log_p) else None
    ids = log_p.new_zeros(shape, dtype=torch.int64) if ids is None else ids
    probs = log_p.new_full(shape, 1 / num_draws)
    return SampledTargets(ids, probs, -(log_p.exp() * log_p).sum(-1))


def all_drawn(teacher_NV, _top_k, kd_temperature):
    """Every token with its own probability: what draws are on average."""
    log_p = (wide(teacher_NV.detach()) / kd_temperature).log_softmax(-1)
    ids = torch.arange(log_p.shape[1], device=log_p.device).expand(log_p.shape)
    return SampledTargets(ids, log_p.exp(), -(log_p.exp() * log_p).sum(-1))


def dense(divergence, *, t2_scaling=True):
    def loss(student, teacher, t):
        return dense_divergence(
            divergence, student, teacher, kd_temperature=t, t2_scaling=t2_scaling
        )

    return loss


def classes(divergence):
    def loss(student, teacher, t):
        return class_divergence(divergence, student, wide(teacher).softmax(-1), kd_temperature=t)

    return loss


def sparse(divergence, top_k):
    def loss(student, teacher, t):
        targets = sparse_targets(teacher, top_k, t)
        return sparse_divergence(divergence, student, targets, kd_temperature=t)

    return loss


def sampled(student, teacher, t):
    return sampled_forward_kl(student, drawn(teacher, 0, t), kd_temperature=t)


class _PerToken(torch.autograd.Function):
    """The fused loss of every token by itself; its sum has the gradient of the fused sum."""

    @staticmethod
    def forward(ctx, student, targets, objective):
        with torch.enable_grad():
            hidden = student.detach().requires_grad_()
            ones = hidden.new_ones(len(hidden))
            eye = torch.eye(hidden.shape[1], dtype=hidden.dtype, device=hidden.device)
            fused = fused_linear_loss(
                hidden, HeadTensors(eye), ones.long(), targets, objective, ones, chunk_tokens=3
            )
            (ctx.gradient,) = torch.autograd.grad(fused.loss, hidden)
        return fused.per_token[objective.divergences[0][0].name].clone()

    @staticmethod
    def backward(ctx, gradient_N):
        return ctx.gradient * gradient_N[:, None], None, None


class _PerExample(torch.autograd.Function):
    """The loss over whole answers, of one token each, of every example by itself."""

    @staticmethod
    def forward(ctx, student, teacher, kd_temperature):
        num, classes = student.shape
        count = torch.arange(num * classes, device=student.device)
        nothing = count[:0]
        rows = ClassRows(count % max(classes, 1), count, count, teacher, nothing)
        objective = Objective((), 0.0, kd_temperature, class_kl=1.0)
        with torch.enable_grad():
            hidden = student.detach().requires_grad_()
            eye = torch.eye(classes, dtype=student.dtype, device=student.device)
            repeated = hidden.repeat_interleave(classes, 0)
            found = class_linear_loss(
                repeated, HeadTensors(eye), rows, objective, UnitWeights(1.0, 1.0)
            )
            (ctx.gradient,) = torch.autograd.grad(found.loss, hidden)
        return found.per_token["class_kl"].clone()

    @staticmethod
    def backward(ctx, gradient_N):
        return ctx.gradient * gradient_N[:, None], None, None


def whole_answers(student, teacher, t):
    return _PerExample.apply(student, wide(teacher.detach()).softmax(-1), t)


def fused(divergence, top_k=0, targets=sparse_targets, *, t2_scaling=True):
    def loss(student, teacher, t):
        objective = Objective(((divergence, 1.0),), 0.0, t, t2_scaling)
        return _PerToken.apply(student, targets(teacher, top_k, t), objective)

    return loss


def training(divergence, top_k=0, targets=sparse_targets, *, ce_weight=0.3):
    """The fused loss as the trainer calls it: only positions that predict a trained token."""

    def loss(batch):
        head, predicting = batch.head, batch.is_predicting
        objective = CROSS_ENTROPY
        soft = None
        if divergence is not None:
            objective = Objective(((divergence, 0.7),), ce_weight, batch.kd_temperature)
            teacher = batch.teacher_logits_BTU[predicting][:, : head.vocab_size]
            soft = targets(teacher, top_k, batch.kd_temperature)
        ours = HeadTensors(
            head.weight_VH, head.bias_V, head.logit_scale, head.logit_softcap, head.vocab_size
        )
        weight = batch.labels_BT.new_tensor(1 / max(batch.num_items, 1), dtype=torch.float64)
        return fused_linear_loss(
            batch.hidden_BTH[predicting],
            ours,
            batch.labels_BT.roll(-1, 1)[predicting],
            soft,
            objective,
            weight.expand(int(predicting.sum())),
            chunk_tokens=5,
        ).loss

    return loss


def token_trials():
    """Name -> (loss, claims)."""
    trials = {}
    for ours, formula in DIVERGENCES.items():
        bound = float32_bound(formula)
        exact = claimed.TokenClaims(formula, float32_bound=bound)
        trials[f"{formula.name}-dense"] = dense(ours), exact
        trials[f"{formula.name}-classes"] = classes(ours), exact
        trials[f"{formula.name}-live"] = fused(ours, targets=live_teacher), exact
        for kind, make in (("sparse", sparse), ("fused", fused)):
            for top_k in (1, 8, 0):

                def at(k, ours=ours, make=make):
                    return make(ours, k)

                name = f"{formula.name}-{kind}-{top_k or 'all'}"
                claims = claimed.TokenClaims(
                    formula,
                    top_k=top_k,
                    at_top_k=at if top_k == 8 else None,
                    as_stored=as_stored(top_k) if top_k else None,
                    float32_bound=max(bound, DENSE_SPARSE) if kind == "sparse" else bound,
                )
                trials[name] = make(ours, top_k), claims
        if formula.is_linear == ours.is_linear:
            drawing = claimed.TokenClaims(formula, is_sampled=True)
            trials[f"{formula.name}-fused-drawn"] = fused(ours, targets=drawn), drawing
    answers = claimed.TokenClaims(
        claimed.forward_kl(), float32_bound=float32_bound(claimed.forward_kl())
    )
    trials["forward_kl-whole-answers"] = whole_answers, answers
    plain = claimed.TokenClaims(claimed.forward_kl(), t2_scaling=False)
    trials["forward_kl-dense-without-t2"] = dense(ForwardKL(), t2_scaling=False), plain
    trials["forward_kl-fused-without-t2"] = fused(ForwardKL(), t2_scaling=False), plain
    drawing = claimed.TokenClaims(claimed.forward_kl(), is_sampled=True)
    trials["forward_kl-drawn"] = sampled, drawing
    return trials


def training_trials():
    """Name -> (loss, claims)."""
    trials = {}
    for ours, formula in DIVERGENCES.items():
        for name, top_k, targets in (
            ("1", 1, sparse_targets),
            ("8", 8, sparse_targets),
            ("all", 0, sparse_targets),
            ("live", 0, live_teacher),
        ):
            claims = claimed.TrainingClaims(
                formula,
                kd_weight=0.7,
                ce_weight=0.3,
                top_k=top_k,
                as_stored=as_stored(top_k) if top_k else None,
            )
            trials[f"{formula.name}-{name}"] = training(ours, top_k, targets), claims
    alone = claimed.TrainingClaims(claimed.forward_kl(), kd_weight=0.7)
    trials["forward_kl-alone"] = training(ForwardKL(), ce_weight=0.0), alone
    drawing = claimed.TrainingClaims(claimed.forward_kl(), kd_weight=0.7, ce_weight=0.3)
    trials["forward_kl-drawn"] = training(ForwardKL(), targets=all_drawn), drawing
    hard = claimed.TrainingClaims(claimed.forward_kl(), kd_weight=0.0, ce_weight=1.0)
    trials["cross_entropy"] = training(None), hard
    return trials
