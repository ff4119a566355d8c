"""How likely each of several answers to one prompt is; what they share is read once.

Conversations that begin with the same tokens are a stem with branches. Stems go through the model
side by side, and their keys and values are kept; every branch reads on from those of its stem. A
model that keeps no such memory of single tokens, as recurrent ones do, reads whole conversations.

Legend: S stems of a batch, C branches of a stem, R rows of a batch (stems or branches), T token
position, P positions, K ids of a position, H hidden size.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin

from stillhouse.models.head import HeadTensors, find_head
from stillhouse.models.inference import batches_by_length, evaluating, pad_batch, plain_model
from stillhouse.models.logits import LogitReader, sum_rows
from stillhouse.models.states import answer_states, require_scorable
from stillhouse.tokens.encode import EncodedConversation

if TYPE_CHECKING:
    from peft import PeftModel


@dataclass(frozen=True, slots=True, eq=False)
class _Family:
    """Conversations of one prompt.

    Attributes:
        stem: (T,) int32, what all of them begin with.
        start: place of the answers' first token, in [1, T]; T where no token of them is shared.
        branches: the rest of each, up to its end of turn; one may be empty.
    """

    stem: NDArray[np.int32]
    start: int
    branches: tuple[NDArray[np.int32], ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """What a model keeps of the rows of a batch.

    Attributes:
        cache: keys and values.
        mask_RT: int64, 1 where a token stands.
    """

    cache: DynamicCache
    mask_RT: Tensor

    def of(self, rows: Sequence[int]) -> _Kept:
        """What is kept of some rows, as often as each is named; it may grow by itself."""
        chosen = torch.tensor(rows, device=self.mask_RT.device)
        taken = copy.copy(self.cache)
        taken.layers = [copy.copy(layer) for layer in self.cache.layers]
        taken.batch_select_indices(chosen)
        return _Kept(taken, self.mask_RT[chosen])


def answer_likelihoods(
    model: PreTrainedModel | PeftModel,
    families: Sequence[Sequence[EncodedConversation]],
    *,
    vocab_size: int,
    batch_size: int,
) -> list[NDArray[np.float64]]:
    """The log-likelihood of the last answer of each conversation, its end of turn included.

    Args:
        model: a causal language model, with or without an adapter.
        families: conversations that differ in their last answer alone; at least one a family.
        vocab_size: ids of the tokenizer; rows of the head behind them get no mass.
        batch_size: stems, and then branches, side by side.

    Returns:
        (C,) for each family, nats, <= 0: what scoring each conversation by itself gives.

    Raises:
        InputError: a conversation is longer than the model's context, or has no answer.
        ModelError: the head has fewer rows than the tokenizer has ids.
    """
    if not families:
        return []
    plain, head = plain_model(model), find_head(model)
    require_scorable([one for family in families for one in family], head, plain, vocab_size)
    forked = [_fork(family) for family in families]
    stemmed = [family for family in forked if family is not None]
    with evaluating(model):
        if len(stemmed) < len(forked) or not _keeps_tokens(plain):
            return _one_by_one(model, families, vocab_size, batch_size)
        reader = _Reader(plain, replace(head, vocab_size=vocab_size))
        found: dict[int, NDArray[np.float64]] = {}
        for batch in batches_by_length([len(family.stem) for family in stemmed], batch_size):
            own = [stemmed[index] for index in batch]
            found.update(zip(batch, reader.read(own, batch_size), strict=True))
    return [found[index] for index in range(len(families))]


def _keeps_tokens(model: PreTrainedModel) -> bool:
    """Whether its memory is of keys and values alone, of which rows can be taken several times."""
    decoder = model.base_model
    parameters = inspect.signature(decoder.forward).parameters
    if decoder is model or "past_key_values" not in parameters:
        return False
    return all(
        isinstance(layer, DynamicLayer) and not isinstance(layer, LinearAttentionCacheLayerMixin)
        for layer in DynamicCache(config=model.config).layers
    )


def _fork(conversations: Sequence[EncodedConversation]) -> _Family | None:
    """The family of some conversations; None when their prompts are not the same tokens."""
    answers = [one.last_answer for one in conversations]
    ids = [one.ids[: own.stop] for one, own in zip(conversations, answers, strict=True)]
    shortest = min(map(len, ids))
    differs = np.any([own[:shortest] != ids[0][:shortest] for own in ids], axis=0)
    length = int(differs.argmax()) if differs.any() else shortest
    starts = {own.start for own in answers}
    if len(starts) > 1 or length < min(starts):
        return None
    return _Family(ids[0][:length], min(starts), tuple(own[length:] for own in ids))


def _one_by_one(
    model: PreTrainedModel | PeftModel,
    families: Sequence[Sequence[EncodedConversation]],
    vocab_size: int,
    batch_size: int,
) -> list[NDArray[np.float64]]:
    """The same sums, with each conversation read from its beginning."""
    encoded = [one for family in families for one in family]
    sums = np.zeros(len(encoded))
    for states in answer_states(model, encoded, vocab_size=vocab_size, batch_size=batch_size):
        told_P = _logprobs(states.reader, states.hidden_PH, states.observed_P[:, None])[:, 0]
        start = 0
        for index in states.batch:
            start += encoded[index].num_trained
            answer = encoded[index].last_answer
            sums[index] = told_P[start - (answer.stop - answer.start) : start].sum()
    return np.split(sums, np.cumsum([len(family) for family in families])[:-1])


class _Reader:
    """A model that reads families.

    Args:
        model: in eval mode, without gradients.
        head: of the model, cut to the tokenizer's ids.
    """

    def __init__(self, model: PreTrainedModel, head: HeadTensors) -> None:
        self._model = model
        self._head = head
        self._logits: LogitReader | None = None
        parameters = inspect.signature(model.base_model.forward).parameters
        self._takes_positions = "position_ids" in parameters

    def read(self, families: Sequence[_Family], batch_size: int) -> list[NDArray[np.float64]]:
        """The sums (C,) of each family, whose stems are read side by side."""
        kept, sums = self._read_stems(families)
        pairs = [
            (number, place)
            for number, family in enumerate(families)
            for place, branch in enumerate(family.branches)
            if len(branch) > 1  # the stem tells the first token
        ]
        lengths = [len(families[number].branches[place]) for number, place in pairs]
        for batch in batches_by_length(lengths, batch_size):
            chosen = [pairs[index] for index in batch]
            branches = [families[number].branches[place] for number, place in chosen]
            told = self._read_branches(kept.of([number for number, _ in chosen]), branches)
            for (number, place), own in zip(chosen, told, strict=True):
                sums[number][place] += own
        return sums

    def _read_stems(self, families: Sequence[_Family]) -> tuple[_Kept, list[NDArray[np.float64]]]:
        """What the model keeps of the stems, and the sums (C,) that they tell already."""
        ids_ST, mask_ST = pad_batch([family.stem for family in families], pad_id=0, left=True)
        hidden_STH, kept = self._forward(ids_ST, mask_ST)
        # Of each stem: what predicts the answers' tokens in it, then what predicts its branches.
        told_by = [len(family.stem) - family.start + 1 for family in families]
        hidden_PH = torch.cat([own[-num:] for own, num in zip(hidden_STH, told_by, strict=True)])
        ends = np.cumsum(told_by)
        ids_PK = np.zeros((ends[-1], max(len(f.branches) for f in families)), dtype=np.int32)
        for family, end, num in zip(families, ends, told_by, strict=True):
            ids_PK[end - num : end - 1] = family.stem[family.start :, None]
            for place, branch in enumerate(family.branches):
                ids_PK[end - 1, place] = branch[0] if len(branch) else 0
        told_PK = self._logprobs(hidden_PH, ids_PK)
        sums = []
        for family, own_PK in zip(families, np.split(told_PK, ends[:-1]), strict=True):
            goes_on = np.array([len(branch) > 0 for branch in family.branches])
            sums.append(own_PK[:-1, 0].sum() + own_PK[-1, : len(goes_on)] * goes_on)
        return kept, sums

    def _read_branches(self, kept: _Kept, branches: Sequence[NDArray[np.int32]]) -> list[float]:
        """The log-likelihood of each branch from its second token on."""
        ids_RT, mask_RT = pad_batch([branch[:-1] for branch in branches], pad_id=0)
        hidden_RTH, _ = self._forward(ids_RT, mask_RT, kept)
        hidden_PH = hidden_RTH[mask_RT.bool().to(hidden_RTH.device)]
        next_P = np.concatenate([branch[1:] for branch in branches])
        ends = np.cumsum([len(branch) - 1 for branch in branches])[:-1]
        told = np.split(self._logprobs(hidden_PH, next_P[:, None])[:, 0], ends)
        return [float(own.sum()) for own in told]

    def _forward(
        self, ids_RT: Tensor, mask_RT: Tensor, before: _Kept | None = None
    ) -> tuple[Tensor, _Kept]:
        """Hidden states (R, T, H) of new tokens, and what is kept of them and those before."""
        ids_RT, mask_RT = ids_RT.to(self._model.device), mask_RT.to(self._model.device)
        if before:
            mask_RT = torch.cat([before.mask_RT, mask_RT], dim=1)
        places = {}
        if self._takes_positions:
            positions_RT = (mask_RT.cumsum(1) - 1).clamp_min(0)
            places["position_ids"] = positions_RT[:, -ids_RT.shape[1] :]
        output = self._model.base_model(
            input_ids=ids_RT,
            attention_mask=mask_RT,
            past_key_values=before.cache if before else None,
            use_cache=True,
            **places,
        )
        return output.last_hidden_state, _Kept(output.past_key_values, mask_RT)

    def _logprobs(self, hidden_PH: Tensor, ids_PK: NDArray[np.int32]) -> NDArray[np.float64]:
        self._logits = self._logits or LogitReader(self._head, hidden_PH.dtype)
        return _logprobs(self._logits, hidden_PH, ids_PK)


def _logprobs(
    reader: LogitReader, hidden_PH: Tensor, ids_PK: NDArray[np.int32]
) -> NDArray[np.float64]:
    """(P, K) nats, of some ids after each hidden state."""
    parts = []
    ids = torch.from_numpy(ids_PK).long().to(hidden_PH.device)
    for rows, logits in reader.read(hidden_PH):
        log_z_N = sum_rows(logits, (1.0,)).partitions[0].log_z_N
        # Differences are taken in float64 beside the model: Apple's GPUs have no such type.
        parts.append((logits.at(ids[rows]).cpu().double() - log_z_N[:, None]).numpy())
    return np.concatenate(parts)
