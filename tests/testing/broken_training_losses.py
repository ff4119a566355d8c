"""Training losses with one known bug each, named by the bug; each bug was in a library in use.

All minimise forward KL, with T², plus 0.5 cross-entropy.
"""

from dataclasses import replace

import torch
from torch.nn.functional import cross_entropy

CE = 0.5


def wide(values):
    return values if values.dtype == torch.float64 else values.float()


def logits_of(hidden, head):
    used = head.vocab_size
    logits = wide(hidden) @ wide(head.weight_VH[:used]).T
    if head.bias_V is not None:
        logits = logits + wide(head.bias_V[:used])
    logits = logits * head.logit_scale
    cap = head.logit_softcap
    return logits if cap is None else cap * torch.tanh(logits / cap)


def terms(logits, teacher, labels, t):
    """Nats per token: T² KL(teacher || student) + 0.5 CE."""
    log_p, log_q = ((x / t).log_softmax(-1) for x in (teacher, logits))
    return t * t * (log_p.exp() * (log_p - log_q)).sum(-1) + CE * cross_entropy(
        logits, labels, reduction="none"
    )


def per_token(batch, predicting=None):
    predicting = batch.is_predicting if predicting is None else predicting
    labels = batch.labels_BT.roll(-1, 1)[predicting]
    teacher = wide(batch.teacher_logits_BTU.detach())[predicting][:, : batch.head.vocab_size]
    logits = logits_of(batch.hidden_BTH[predicting], batch.head)
    return terms(logits, teacher, labels, batch.kd_temperature)


def sound(batch):
    return per_token(batch).sum() / max(batch.num_items, 1)


def divided_by_the_micro_batchs_own_count(batch):
    return per_token(batch).sum() / batch.is_predicting.sum().clamp_min(1)


def mean_of_means_of_rows(batch):
    rows = [per_token(batch.part(slice(row, row + 1))) for row in range(len(batch.labels_BT))]
    return torch.stack([row.sum() / max(len(row), 1) for row in rows]).mean()


def mean_over_all_positions(batch):
    return per_token(batch).sum() / batch.labels_BT.numel()


def a_row_counts_once_however_long(batch):
    value, rows = per_token(batch), batch.is_predicting.nonzero()[:, 0]
    counts = batch.is_predicting.sum(1)[rows]
    return (value / counts).sum() * batch.is_predicting.any(1).sum() / max(batch.num_items, 1)


def divided_twice(batch):
    return sound(batch) / max(batch.num_items, 1)


def never_divided(batch):
    return per_token(batch).sum()


def the_mask_is_not_shifted(batch):
    return per_token(batch, batch.labels_BT != -100).sum() / max(batch.num_items, 1)


def the_first_token_of_an_answer_is_dropped(batch):
    predicting = batch.is_predicting.clone()
    predicting[:, 1:] &= batch.labels_BT[:, 1:] != -100
    predicting[:, 0] = False
    return per_token(batch, predicting).sum() / max(batch.num_items, 1)


def masked_by_multiplying_with_zero(batch):
    everywhere = torch.ones_like(batch.is_predicting)
    labels = batch.labels_BT.clamp_min(0)
    value = per_token(replace(batch, labels_BT=labels), everywhere).view(labels.shape)
    return (value * batch.is_predicting).sum() / max(batch.num_items, 1)


def prompt_and_padding_are_trained(batch):
    everywhere = torch.ones_like(batch.is_predicting)
    labels = batch.labels_BT.clamp_min(0)
    return per_token(replace(batch, labels_BT=labels), everywhere).sum() / max(batch.num_items, 1)


def tokens_behind_the_last_whole_chunk_are_cut(batch):
    value = per_token(batch)
    return value[: len(value) // 4 * 4].sum() / max(batch.num_items, 1)


def nothing_trained_is_nothing_over_nothing(batch):
    return per_token(batch).mean() * batch.is_predicting.sum() / batch.num_items


def nothing_trained_has_no_graph(batch):
    return sound(batch) if batch.is_predicting.any() else torch.tensor(0.0)


def _with_head(batch, **changes):
    return sound(replace(batch, head=replace(batch.head, **changes)))


def the_bias_is_forgotten(batch):
    return _with_head(batch, bias_V=None)


def the_logit_scale_is_forgotten(batch):
    return _with_head(batch, logit_scale=1.0)


def the_soft_cap_is_forgotten(batch):
    return _with_head(batch, logit_softcap=None)


def padded_columns_are_not_masked(batch):
    rows = min(len(batch.head.weight_VH), batch.teacher_logits_BTU.shape[-1])
    return _with_head(batch, vocab_size=rows)


def the_cross_entropy_is_softened_too(batch):
    labels = batch.labels_BT.roll(-1, 1)[batch.is_predicting]
    logits = logits_of(batch.hidden_BTH[batch.is_predicting], batch.head)
    t = batch.kd_temperature
    right = cross_entropy(logits, labels, reduction="sum")
    wrong = cross_entropy(logits / t, labels, reduction="sum")
    return sound(batch) + CE * (wrong - right) / max(batch.num_items, 1)


def products_are_rounded_to_bfloat16(batch):
    head = replace(batch.head, weight_VH=batch.head.weight_VH.bfloat16())
    return sound(replace(batch, hidden_BTH=batch.hidden_BTH.bfloat16(), head=head)).to(
        batch.hidden_BTH.dtype
    )


def the_loss_is_summed_in_half_precision(batch):
    return sound(batch).to(batch.hidden_BTH.dtype)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, batch):
        with torch.enable_grad():
            leaves = [x.detach().requires_grad_() for x in (hidden, weight)]
            head = replace(batch.head, weight_VH=leaves[1])
            value = sound(replace(batch, hidden_BTH=leaves[0], head=head))
            ctx.gradients = torch.autograd.grad(value, leaves)
        return value.detach()

    @staticmethod
    def backward(ctx, gradient):
        return (*ctx.gradients, None)


def the_gradient_from_above_is_dropped(batch):
    return _Fused.apply(batch.hidden_BTH, batch.head.weight_VH, batch)


def the_value_is_formed_with_the_gradient_only(batch):
    return sound(batch) if torch.is_grad_enabled() else sound(batch) * 0


def the_head_is_taken_to_be_trained(batch):
    value = sound(batch)
    torch.autograd.grad(value, batch.head.weight_VH, retain_graph=True)
    return value


def the_teacher_is_trained_along(batch):
    predicting = batch.is_predicting
    teacher = wide(batch.teacher_logits_BTU)[predicting][:, : batch.head.vocab_size]
    labels = batch.labels_BT.roll(-1, 1)[predicting]
    logits = logits_of(batch.hidden_BTH[predicting], batch.head)
    value = terms(logits, teacher, labels, batch.kd_temperature)
    return value.sum() / max(batch.num_items, 1)
