"""The laws of a training loss: which tokens count, by what they are divided, through which head.

A law is a function of the claims and the loss that gives a `Finding`; its first line is its text.

Legend: B rows, T positions, H hidden size, V vocabulary.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import torch

from stillhouse.testing.measuring import largest, relative
from stillhouse.testing.training_claims import (
    IGNORED,
    ROWS,
    Outputs,
    TrainingBatch,
    TrainingClaims,
    TrainingLoss,
    outputs_of,
    trial_batch,
)
from stillhouse.testing.verdicts import Finding, Law


def the_loss_equals_the_formula(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """Value and gradients (hidden states, head) are the formula's over the trained tokens."""
    return _against_oracle(claims, loss, _batches(claims, claims.computes_in), claims.bound)


def float32_gradients_equal_the_formula(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """In float32 the gradients are still the float64 formula's, within a stated relative bound."""
    return _against_oracle(claims, loss, _batches(claims, torch.float32), claims.float32_bound)


def half_precision_is_summed_in_float32(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """A bfloat16 head gives a float32 loss, and gradients within a stated bound of the formula."""
    batches = list(_batches(claims, torch.bfloat16))
    dtype = outputs_of(loss, batches[0]).value.dtype
    if dtype != torch.float32:
        return Finding(float("nan"), claims.bfloat16_bound, f"the loss is {dtype}")
    return _against_oracle(claims, loss, batches, claims.bfloat16_bound)


def masked_positions_change_nothing(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """What stands at positions that predict no trained token changes neither value nor gradient."""
    return _masked(claims, loss, 30.0)


def nan_at_masked_positions_changes_nothing(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """NaN and infinity at positions that predict no trained token reach nothing."""
    return _masked(claims, loss, torch.nan, -torch.inf)


def _masked(claims: TrainingClaims, loss: TrainingLoss, *fill: float) -> Finding:
    batch = trial_batch(claims)
    masked = ~batch.is_predicting
    hidden, teacher = batch.hidden_BTH.clone(), batch.teacher_logits_BTU.clone()
    hidden[masked], teacher[masked] = fill[0], fill[-1]
    if math.isfinite(fill[0]):
        teacher[..., 0][masked] = -fill[0]
    other = replace(batch, hidden_BTH=hidden, teacher_logits_BTU=teacher)
    before, after = outputs_of(loss, batch), outputs_of(loss, other)
    stray = after.hidden_BTH[masked].abs().max().item()
    changes = [relative(*pair) for pair in zip(after.all, before.all, strict=True)]
    names = ("value", "hidden states", "head")
    parts = [f"{name} {change:.2g}" for name, change in zip(names, changes, strict=False)]
    what = f"relative change: {', '.join(parts)}; gradient at masked positions {stray:.2g}"
    return Finding(largest(*changes, stray), claims.bound, what)


def an_answer_of_one_token_trains_one_position(
    claims: TrainingClaims, loss: TrainingLoss
) -> Finding:
    """An answer of one token sends its gradient to the position before it and nowhere else."""
    worst, places = 0.0, []
    for prompt in (1, 4):
        batch = trial_batch(claims, rows=((6, 6), (6, 6)))
        labels = batch.labels_BT.clone()
        labels[0, prompt] = 2
        batch = replace(batch, labels_BT=labels, num_items=1)
        gradient = outputs_of(loss, batch).hidden_BTH.norm(dim=-1)
        places += [f"{prompt}: {gradient.nonzero().tolist()}"]
        share = gradient[0, prompt - 1] / gradient.sum()
        worst = largest(worst, 1 - share)
    return Finding(
        worst, claims.bound, f"answer at position and its gradients: {'; '.join(places)}"
    )


def odd_lengths_are_whole(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """No length is cut or refused: 1 to 17 trained tokens, also of one row of two tokens."""
    batches = [
        trial_batch(claims, rows=((1 + trained, 1),)) for trained in (1, 2, 3, 5, 7, 9, 13, 17)
    ]
    return _against_oracle(claims, loss, batches, 10 * claims.bound)


def nothing_trained_is_zero(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """A micro-batch without a trained token gives 0 with a graph and gradients of 0, never NaN."""
    batch = trial_batch(claims, rows=((5, 5), (3, 3)))
    found = []
    for num_items in (7, 0):
        outputs = outputs_of(loss, replace(batch, num_items=num_items))
        found.append(largest(*(part.abs().max() for part in outputs.all if part.numel())))
    what = f"largest value or gradient: {found[0]:.2g} at a global count of 7, {found[1]:.2g} at 0"
    return Finding(largest(*found), 0.0, what)


def the_denominator_is_the_global_count(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """Twice the global count of trained tokens gives half the value and half of every gradient."""
    batch = trial_batch(claims)
    once = outputs_of(loss, batch)
    twice = outputs_of(loss, replace(batch, num_items=2 * batch.num_items))
    doubled = Outputs(*(2 * part for part in twice.all))
    return Finding(_change(doubled, once), claims.bound, "twice the count against half the loss")


def micro_batches_sum_to_the_batch(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """8x1, 4x2 and 2x4 rows, summed as gradient accumulation does, are the one batch of 8."""
    cuts = [[slice(i, i + n) for i in range(0, len(ROWS), n)] for n in (1, 2, 4)]
    return _in_parts(claims, loss, cuts)


def ranks_sum_to_the_batch(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """Ranks of unequal counts, one of them without a trained token, sum to the one batch."""
    cuts = [[slice(0, 6), slice(6, 7), slice(7, 8)], [slice(0, 1), slice(1, 8)]]
    return _in_parts(claims, loss, cuts)


def _in_parts(claims: TrainingClaims, loss: TrainingLoss, cuts: list[list[slice]]) -> Finding:
    batch = trial_batch(claims)
    whole = outputs_of(loss, batch)
    worst, ratio = 0.0, 1.0
    for cut in cuts:
        parts = [(rows, outputs_of(loss, batch.part(rows))) for rows in cut]
        hidden = torch.zeros_like(whole.hidden_BTH)
        for rows, part in parts:
            hidden[rows, : part.hidden_BTH.shape[1]] = part.hidden_BTH
        value, weight = (
            torch.stack([getattr(part, name) for _, part in parts]).sum(0)
            for name in ("value", "weight_VH")
        )
        change = _change(Outputs(value, hidden, weight, whole.bias_V), whole)
        if not change <= worst:
            worst, ratio = change, (weight.norm() / whole.weight_VH.norm()).item()
    return Finding(
        worst,
        10 * claims.bound,
        f"parts against one batch; worst gradient {ratio:.4g} times as long",
    )


def padding_changes_nothing(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """Wider padding on the right changes neither value nor gradient."""
    batch = trial_batch(claims)
    rows, width = batch.labels_BT.shape
    wider = replace(
        batch,
        hidden_BTH=torch.cat([batch.hidden_BTH, batch.hidden_BTH.new_ones(rows, 4, 6)], 1),
        teacher_logits_BTU=torch.cat(
            [batch.teacher_logits_BTU, batch.teacher_logits_BTU[:, :4]], 1
        ),
        labels_BT=torch.nn.functional.pad(batch.labels_BT, (0, 4), value=IGNORED),
    )
    after = outputs_of(loss, wider)
    cut = replace(after, hidden_BTH=after.hidden_BTH[:, :width])
    change = _change(cut, outputs_of(loss, batch))
    return Finding(change, claims.bound, "4 more columns of padding")


def packing_equals_padding(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """The same examples end to end in one row give the value and the gradients of padded rows."""
    batch = trial_batch(claims)
    is_token = torch.zeros_like(batch.labels_BT, dtype=torch.bool)
    for row, (length, _) in enumerate(ROWS):
        is_token[row, :length] = True
    packed = replace(
        batch,
        hidden_BTH=batch.hidden_BTH[is_token][None],
        teacher_logits_BTU=batch.teacher_logits_BTU[is_token][None],
        labels_BT=batch.labels_BT[is_token][None],
    )
    whole, found = outputs_of(loss, batch), outputs_of(loss, packed)
    laid_out = torch.zeros_like(whole.hidden_BTH)
    laid_out[is_token] = found.hidden_BTH[0]
    change = _change(replace(found, hidden_BTH=laid_out), whole)
    return Finding(change, 10 * claims.bound, "8 rows in one against 8 padded rows")


def a_bias_counts(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """A bias of the head is added and gets its gradient."""
    return _with_head(claims, loss, "bias")


def a_logit_scale_counts(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """A factor of the logits, as Cohere's models have, is in value and gradient."""
    return _with_head(claims, loss, "logit_scale")


def a_soft_cap_counts(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """A soft cap of the logits, as Gemma 2 has, is in value and gradient."""
    return _with_head(claims, loss, "logit_softcap")


def padded_vocabularies_change_nothing(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """3 padded rows of the student's head and 5 of the teacher's count for nothing."""
    return _with_head(claims, loss, "padding")


def _with_head(claims: TrainingClaims, loss: TrainingLoss, *names: str) -> Finding:
    batches = [
        trial_batch(claims, head=frozenset(names), kd_temperature=kd_temperature)
        for kd_temperature in claims.kd_temperatures
    ]
    return _against_oracle(claims, loss, batches, claims.bound)


def the_gradient_from_above_counts(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """Three times the loss has three times the gradient, as loss scaling needs."""
    batch = trial_batch(claims)
    once, thrice = outputs_of(loss, batch), outputs_of(loss, batch, 3.0)
    tripled = Outputs(once.value, *(3 * part for part in once.all[1:]))
    return Finding(_change(thrice, tripled), claims.bound, "gradient of 3 times the loss")


def no_grad_gives_the_same_value(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """Under torch.no_grad, as in an evaluation, the value is the one of training."""
    batch = trial_batch(claims)
    with torch.no_grad():
        quiet = loss(batch)
    return Finding(relative(quiet, outputs_of(loss, batch).value), claims.bound, "value, no_grad")


def a_frozen_head_is_left_alone(claims: TrainingClaims, loss: TrainingLoss) -> Finding:
    """With a frozen head the hidden states get the same gradient, and the head and teacher none."""
    batch = trial_batch(claims)
    hidden = batch.hidden_BTH.clone().requires_grad_()
    teacher = batch.teacher_logits_BTU.clone().requires_grad_()
    loss(replace(batch, hidden_BTH=hidden, teacher_logits_BTU=teacher)).backward()
    assert hidden.grad is not None
    worst = relative(hidden.grad, outputs_of(loss, batch).hidden_BTH)
    if teacher.grad is not None:
        worst = largest(worst, teacher.grad.abs().max())
    return Finding(
        worst, claims.bound, "gradient of the hidden states, and at the teacher's logits"
    )


def _batches(claims: TrainingClaims, dtype: torch.dtype) -> Iterable[TrainingBatch]:
    for kd_temperature in claims.kd_temperatures:
        yield trial_batch(claims, dtype, kd_temperature=kd_temperature)


def _against_oracle(
    claims: TrainingClaims, loss: TrainingLoss, batches: Iterable[TrainingBatch], bound: float
) -> Finding:
    worst, ratio = 0.0, 1.0
    for batch in batches:
        seen, expected = outputs_of(loss, batch), outputs_of(claims.oracle, _wide(batch))
        change = _change(seen, expected)
        if not change <= worst:
            worst = change
            ratio = (seen.hidden_BTH.double().norm() / expected.hidden_BTH.norm()).item()
    return Finding(
        worst,
        bound,
        f"value and gradients; worst gradient {ratio:.4g} times as long as it should be",
    )


def _wide(batch: TrainingBatch) -> TrainingBatch:
    bias = batch.head.bias_V
    head = replace(
        batch.head,
        weight_VH=batch.head.weight_VH.double(),
        bias_V=None if bias is None else bias.double(),
    )
    return replace(batch, hidden_BTH=batch.hidden_BTH.double(), head=head)


def _change(seen: Outputs, expected: Outputs) -> float:
    return largest(*(relative(*pair) for pair in zip(seen.all, expected.all, strict=True)))


Absent = Callable[[TrainingClaims], str]


def _needs(feature: str) -> Absent:
    return lambda claims: "" if feature in claims.heads else f"the claims do not name {feature}"


def _always(_claims: TrainingClaims) -> str:
    return ""


_LAWS: tuple[tuple[Callable[[TrainingClaims, TrainingLoss], Finding], Absent], ...] = (
    (the_loss_equals_the_formula, _always),
    (float32_gradients_equal_the_formula, _always),
    (half_precision_is_summed_in_float32, _always),
    (masked_positions_change_nothing, _always),
    (nan_at_masked_positions_changes_nothing, _always),
    (an_answer_of_one_token_trains_one_position, _always),
    (odd_lengths_are_whole, _always),
    (nothing_trained_is_zero, _always),
    (the_denominator_is_the_global_count, _always),
    (micro_batches_sum_to_the_batch, _always),
    (ranks_sum_to_the_batch, _always),
    (padding_changes_nothing, _always),
    (packing_equals_padding, _always),
    (a_bias_counts, _needs("bias")),
    (a_logit_scale_counts, _needs("logit_scale")),
    (a_soft_cap_counts, _needs("logit_softcap")),
    (padded_vocabularies_change_nothing, _needs("padding")),
    (the_gradient_from_above_counts, _always),
    (no_grad_gives_the_same_value, _always),
    (a_frozen_head_is_left_alone, _always),
)


def training_laws(claims: TrainingClaims) -> list[Law[TrainingLoss]]:
    """Every law of a training loss; those that do not apply say why.

    Args:
        claims: what the loss says of itself.

    Returns:
        The laws, bound to the claims.
    """
    return [
        Law(
            measure.__name__,
            (inspect.getdoc(measure) or "").splitlines()[0],
            partial(measure, claims),
            absent(claims),
        )
        for measure, absent in _LAWS
    ]
