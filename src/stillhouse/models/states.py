"""The hidden states that predict trained tokens, batch by batch, and no others.

Legend: B examples of a batch, T token position, P trained tokens of a batch, H hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from stillhouse.core.errors import InputError, ModelError
from stillhouse.models.head import HeadTensors, find_head, last_hidden
from stillhouse.models.inference import batches_by_length, pad_batch, plain_model
from stillhouse.models.logits import LogitReader, LogitRows
from stillhouse.models.source import context_tokens
from stillhouse.tokens.encode import EncodedConversation

if TYPE_CHECKING:
    from peft import PeftModel


@dataclass(frozen=True, slots=True, eq=False)
class AnswerStates:
    """A batch, reduced to what predicts its trained tokens.

    Attributes:
        batch: indices of its conversations; their positions follow in this order.
        observed_P: the trained tokens.
        hidden_PH: what predicts them.
        reader: makes their logits.
    """

    batch: list[int]
    observed_P: NDArray[np.int32]
    hidden_PH: Tensor
    reader: LogitReader

    def chunks(self) -> Iterator[tuple[slice, LogitRows]]:
        """Which positions, and their logits over the tokenizer's ids."""
        return self.reader.read(self.hidden_PH)


def answer_states(
    model: PreTrainedModel | PeftModel,
    encoded: Sequence[EncodedConversation],
    *,
    vocab_size: int,
    batch_size: int,
) -> Iterator[AnswerStates]:
    """Run a model over conversations of like length side by side.

    Args:
        model: in eval mode, without gradients.
        encoded: the conversations.
        vocab_size: ids of the tokenizer; rows of the head behind them get no mass.
        batch_size: conversations side by side.

    Yields:
        Batches; each conversation stands in one.

    Raises:
        InputError: a conversation is longer than the model's context, or has no answer.
        ModelError: the head has fewer rows than the tokenizer has ids.
    """
    plain, head = plain_model(model), find_head(model)
    require_scorable(encoded, head, plain, vocab_size)
    used, reader = replace(head, vocab_size=vocab_size), None
    lengths = [len(conversation.ids) for conversation in encoded]
    for batch in batches_by_length(lengths, batch_size):
        ids_BT, _ = pad_batch([encoded[index].ids for index in batch], pad_id=0)
        predicts_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
        for row, index in enumerate(batch):
            trained = torch.from_numpy(encoded[index].is_trained[1:])
            predicts_BT[row, : len(trained)] = trained
        # Padding stands on the right, where no token looks; attention is faster without a mask.
        hidden_BTH = last_hidden(model, ids_BT.to(plain.device))
        hidden_PH = hidden_BTH[predicts_BT.to(plain.device)]
        reader = reader or LogitReader(used, hidden_PH.dtype)
        observed_P = np.concatenate([observed(encoded[index]) for index in batch])
        yield AnswerStates(batch, observed_P, hidden_PH, reader)


def observed(conversation: EncodedConversation) -> NDArray[np.int32]:
    """Its trained tokens, in order."""
    return conversation.ids[conversation.is_trained]


def require_scorable(
    encoded: Sequence[EncodedConversation],
    head: HeadTensors,
    model: PreTrainedModel,
    vocab_size: int,
) -> None:
    """Refuse conversations that a model cannot score.

    Args:
        encoded: the conversations.
        head: of the model.
        model: tells its context.
        vocab_size: ids of the tokenizer.

    Raises:
        InputError: a conversation is longer than the model's context, or has no answer.
        ModelError: the head has fewer rows than the tokenizer has ids.
    """
    if vocab_size > head.num_used:
        raise ModelError(
            f"the tokenizer has {vocab_size} ids, the model's head {head.num_used} rows",
            "take tokenizer and weights from one place",
        )
    context = context_tokens(model.config.to_dict())
    longest = max((len(conversation.ids) for conversation in encoded), default=0)
    if context is not None and longest > context:
        raise InputError(
            f"a conversation has {longest} tokens, the model's context {context}",
            "lower prepare.max_tokens",
        )
    for conversation in encoded:
        if conversation.num_trained == 0:
            raise InputError(
                f"a conversation has no answer to score: {conversation.text[:80]!r}",
                "label an answer first, or drop the row",
            )
