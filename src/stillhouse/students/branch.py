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

from stillhouse.losses.fused_linear import fused_linear_loss
from stillhouse.losses.terms import Objective
from stillhouse.models.head import check_head, find_head
from stillhouse.models.inference import plain_model
from stillhouse.models.packing import answer_hidden, find_packed_reader
from stillhouse.students.target_sources import Asked, stored_targets


@dataclass
class BranchOutput(ModelOutput):
    """What the branch gives back.

    Attributes:
        loss: (), the weighted sum over trained tokens and loss terms.
        per_token: name of each active loss term -> (N,) nats per token, detached.
    """

    loss: Tensor | None = None
    per_token: dict[str, Tensor] | None = None


def install_branch(model: PreTrainedModel | PeftModel, *, vocab_size: int = 0) -> bool:
    """Give the model's own `forward` the branch; `remove_branch` takes it away again.

    The branch takes what `students.batches.Collator` makes, rows and `targets`, and beside it
    `objective`, `token_weights`, (N,) or a scalar, and `ask`, which tells what the teacher says of
    them; left out, they have brought it along.

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
        **kwargs: Any,
    ) -> Any:
        if targets is None or objective is None or token_weights is None:
            return plain(*args, **kwargs)
        # Before the student's activations are there: a live teacher's then lie in their room.
        soft = ask(kwargs, targets)
        hidden_NH = answer_hidden(inner, read_packed, kwargs, targets["positions"])
        _gather_head(inner)
        head = find_head(inner)
        fused = fused_linear_loss(
            hidden_NH,
            replace(head, vocab_size=vocab_size or head.vocab_size),
            targets["token_ids"],
            soft,
            objective,
            token_weights.expand(len(hidden_NH)),
        )
        return BranchOutput(fused.loss, fused.per_token)

    inner.forward = forward
    return read_packed is not None


def _gather_head(model: PreTrainedModel) -> None:
    """Make a head whole that `fully_shard` cut on its own, because its `forward` is not called."""
    head = model.get_output_embeddings()
    if isinstance(head, FSDPModule):
        head.unshard()


def remove_branch(model: PreTrainedModel | PeftModel) -> None:
    """Put back the `forward` of the model's class, on the model and on an adapter around it."""
    for part in (model, plain_model(model)):
        vars(part).pop("forward", None)
