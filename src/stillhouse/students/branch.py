"""A student's own `forward` with one branch: passed targets, it answers with a loss.

The loss lives inside `forward`, so DDP, FSDP, autocast and gradient checkpointing see an ordinary
model; the branch is taken only when `targets` is passed, so generating and saving do too.

Legend: R rows of a batch, W their width, N trained tokens, H hidden size.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from peft import PeftModel
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from stillhouse.losses.class_terms import ClassRows, class_linear_loss
from stillhouse.losses.fused_linear import FusedLoss, fused_linear_loss
from stillhouse.losses.terms import Objective, UnitWeights
from stillhouse.models.head import HeadTensors, check_head, find_head, last_hidden
from stillhouse.models.inference import plain_model
from stillhouse.models.packing import answer_hidden, find_packed_reader
from stillhouse.models.trees import read_trees
from stillhouse.students.target_sources import Asked, stored_targets


@dataclass
class BranchOutput(ModelOutput):
    """What the branch gives back.

    Attributes:
        loss: (), the weighted sum over trained tokens and loss terms.
        per_token: name of each active loss term -> nats per token (N,), or per example, detached.
    """

    loss: Tensor | None = None
    per_token: dict[str, Tensor] | None = None


def install_branch(model: PreTrainedModel | PeftModel, *, vocab_size: int = 0) -> bool:
    """Give the model's own `forward` the branch; `remove_branch` takes it away again.

    The branch takes what `students.batches.Collator` or `students.class_batches.ClassCollator`
    makes, rows and `targets`, and beside it `objective`, `token_weights`, (N,) or a scalar,
    `example_weight`, of each example that `class_kl` is taken of, and `ask`, which tells what the
    teacher says of trained tokens; left out, they have brought it along.

    Args:
        model: a causal language model, with or without an adapter around it.
        vocab_size: ids of the tokenizer, where the head has more rows than that; 0 takes
            config.vocab_size.

    Returns:
        Whether the branch takes packed rows; if not, only padded ones.

    Raises:
        ModelError: the head, or an adapter on it, is of a kind that is not known here.
    """
    inner = plain_model(model)
    check_head(inner)
    read_packed = find_packed_reader(inner)
    plain = inner.forward

    @functools.wraps(plain)
    def forward(
        *args: Any,
        targets: Mapping[str, Tensor] | None = None,
        ask: Asked = stored_targets,
        objective: Objective | None = None,
        token_weights: Tensor | None = None,
        example_weight: float = 0.0,
        **kwargs: Any,
    ) -> Any:
        if targets is None or objective is None or token_weights is None:
            return plain(*args, **kwargs)
        if "teacher_probs" in targets:
            weights = UnitWeights(token_weights, example_weight)
            fused = _class_losses(inner, vocab_size, kwargs, targets, objective, weights)
            return BranchOutput(fused.loss, fused.per_token)
        # Before the student's activations are there: a live teacher's then lie in their room.
        soft = ask(kwargs, targets)
        hidden_NH = answer_hidden(inner, read_packed, kwargs, targets["positions"])
        fused = fused_linear_loss(
            hidden_NH,
            _head(inner, vocab_size),
            targets["token_ids"],
            soft,
            objective,
            token_weights.expand(len(hidden_NH)),
        )
        return BranchOutput(fused.loss, fused.per_token)

    inner.forward = forward
    return read_packed is not None


def _class_losses(
    model: PreTrainedModel,
    vocab_size: int,
    rows: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    objective: Objective,
    weights: UnitWeights,
) -> FusedLoss:
    """The losses of examples with named answers, from trees or from a row for each answer."""
    if "ends" in rows:
        hidden_RWH = read_trees(model, rows["input_ids"], rows["position_ids"], rows["ends"])
    else:
        hidden_RWH = last_hidden(model, rows["input_ids"], rows["attention_mask"])
    hidden_NH = hidden_RWH.flatten(0, 1).index_select(0, targets["positions"])
    named = ("token_ids", "answers", "tokens", "teacher_probs", "hard_tokens")
    taught = ClassRows(*(targets[name] for name in named))
    return class_linear_loss(hidden_NH, _head(model, vocab_size), taught, objective, weights)


def _head(model: PreTrainedModel, vocab_size: int) -> HeadTensors:
    _gather_head(model)
    head = find_head(model)
    return replace(head, vocab_size=vocab_size or head.vocab_size)


def _gather_head(model: PreTrainedModel) -> None:
    """Make a head whole that `fully_shard` cut on its own, because its `forward` is not called."""
    head = model.get_output_embeddings()
    if isinstance(head, FSDPModule):
        head.unshard()


def remove_branch(model: PreTrainedModel | PeftModel) -> None:
    """Put back the `forward` of the model's class, on the model and on an adapter around it."""
    for part in (model, plain_model(model)):
        vars(part).pop("forward", None)
