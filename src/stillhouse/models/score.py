"""What a model says about given text: its distribution at each trained token.

Only hidden states of positions that predict a trained token meet the head, a chunk of rows at a
time, so no (B, T, V) tensor ever exists.

Legend: B examples of a batch, T token position, P trained tokens, H hidden size, V vocabulary,
K kept teacher entries.
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

from stillhouse.core.errors import ArtifactError, InputError, ModelError
from stillhouse.core.targets import TargetKey, TokenTargets
from stillhouse.models.head import HeadTensors, find_head, last_hidden
from stillhouse.models.inference import batches_by_length, evaluating, pad_batch, plain_model
from stillhouse.models.source import context_tokens
from stillhouse.tokens.encode import EncodedConversation

if TYPE_CHECKING:
    from peft import PeftModel

_CHUNK_LOGITS = 1 << 24  # assumption: 64 MB in float32 fits beside any model


@dataclass(frozen=True, slots=True)
class Scoring:
    """How text is scored.

    Attributes:
        vocab_size: ids of the tokenizer; rows of the head behind them are padding and get no mass.
        top_k: kept entries a token; at most `vocab_size` are there.
        kd_temperatures: at which the log of the partition sum is kept.
        batch_size: examples side by side.
    """

    vocab_size: int
    top_k: int = 64
    kd_temperatures: tuple[float, ...] = (1.0,)
    batch_size: int = 8


@dataclass(frozen=True, slots=True)
class StudentScore:
    """How near a student is to its teacher on one example; sums over its trained tokens.

    Attributes:
        nll_sum: of the observed tokens under the student, nats.
        kl_sum: KL(teacher || student) at temperature 1 over the teacher's K entries and the tail
            as one, nats; exact when K is the vocabulary, else a lower bound.
        num_tokens: trained tokens.
        num_agreeing: tokens at which both have the same most likely token.
    """

    nll_sum: float
    kl_sum: float
    num_tokens: int
    num_agreeing: int


def score_batch(
    model: PreTrainedModel | PeftModel,
    texts: Sequence[tuple[str, EncodedConversation]],
    scoring: Scoring,
) -> list[TokenTargets]:
    """The teacher's targets for every text, in order.

    Args:
        model: the teacher.
        texts: example ids with their conversations.
        scoring: how.

    Returns:
        Top entries sorted by log-probability, the smaller id first among equals. All numbers
        are computed in float32 from the model's own logits.

    Raises:
        InputError: a conversation is longer than the model's context, or has no answer.
        ModelError: the head has fewer rows than the tokenizer has ids.
    """
    encoded = [conversation for _, conversation in texts]
    found: dict[int, TokenTargets] = {}
    with evaluating(model):
        for batch, hidden_PH, head in _trained_hidden(model, encoded, scoring):
            observed_P = np.concatenate([_observed(encoded[index]) for index in batch])
            parts = [
                _entries(logprobs_PV, observed_P[rows], scoring)
                for rows, logprobs_PV in _logprobs(hidden_PH, head, scoring)
            ]
            columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
            start = 0
            for index in batch:
                end = start + encoded[index].num_trained
                own = [column[start:end] for column in columns]
                found[index] = _targets(*texts[index], own)
                start = end
    return [found[index] for index in range(len(texts))]


def score_against(
    model: PreTrainedModel | PeftModel,
    texts: Sequence[tuple[str, EncodedConversation]],
    targets: Sequence[TokenTargets],
    scoring: Scoring,
) -> list[StudentScore]:
    """How far the student is from the teacher's targets, for every text, in order.

    Args:
        model: the student.
        texts: example ids with their conversations.
        targets: the teacher's, one for each text; its K counts, not the one of `scoring`.
        scoring: vocabulary and batch size.

    Returns:
        Sums in float64.

    Raises:
        ArtifactError: targets belong to another text.
        InputError: a conversation is longer than the model's context, or has no answer.
        ModelError: the head has fewer rows than the tokenizer has ids.
    """
    for (name, conversation), target in zip(texts, targets, strict=True):
        _require_same_text(name, conversation, target)
    encoded = [conversation for _, conversation in texts]
    found: dict[int, StudentScore] = {}
    with evaluating(model):
        for batch, hidden_PH, head in _trained_hidden(model, encoded, scoring):
            teacher = _Teacher.of([targets[index] for index in batch])
            parts = [
                _distances(logprobs_PV, teacher.rows(rows), scoring.vocab_size)
                for rows, logprobs_PV in _logprobs(hidden_PH, head, scoring)
            ]
            sums_P3 = np.concatenate(parts)
            start = 0
            for index in batch:
                count = encoded[index].num_trained
                nll, kl, agreeing = sums_P3[start : start + count].sum(axis=0)
                found[index] = StudentScore(float(nll), float(kl), count, int(agreeing))
                start += count
    return [found[index] for index in range(len(texts))]


@dataclass(frozen=True, slots=True, eq=False)
class _Teacher:
    token_ids: NDArray[np.int32]
    top_ids: NDArray[np.int32]
    top_logprobs: NDArray[np.float32]

    @classmethod
    def of(cls, targets: Sequence[TokenTargets]) -> _Teacher:
        return cls(
            np.concatenate([t.token_ids for t in targets]),
            np.concatenate([t.top_ids for t in targets]),
            np.concatenate([t.top_logprobs for t in targets]),
        )

    def rows(self, rows: slice) -> _Teacher:
        return _Teacher(self.token_ids[rows], self.top_ids[rows], self.top_logprobs[rows])


def _trained_hidden(
    model: PreTrainedModel | PeftModel, encoded: Sequence[EncodedConversation], scoring: Scoring
) -> Iterator[tuple[list[int], Tensor, HeadTensors]]:
    """Batches of indices with the (P, H) hidden states that predict their trained tokens."""
    plain, head = plain_model(model), find_head(model)
    lengths = [len(conversation.ids) for conversation in encoded]
    _require_scorable(encoded, head, plain, scoring)
    used = replace(head, vocab_size=scoring.vocab_size)
    for batch in batches_by_length(lengths, scoring.batch_size):
        ids_BT, mask_BT = pad_batch([encoded[index].ids for index in batch], pad_id=0)
        predicts_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
        for row, index in enumerate(batch):
            trained = torch.from_numpy(encoded[index].is_trained[1:])
            predicts_BT[row, : len(trained)] = trained
        hidden_BTH = last_hidden(model, ids_BT.to(plain.device), mask_BT.to(plain.device))
        yield batch, hidden_BTH[predicts_BT.to(plain.device)], used


def _logprobs(
    hidden_PH: Tensor, head: HeadTensors, scoring: Scoring
) -> Iterator[tuple[slice, Tensor]]:
    """Rows with their float32 log-probabilities (rows, V) over the tokenizer's ids."""
    step = max(1, _CHUNK_LOGITS // scoring.vocab_size)
    for start in range(0, len(hidden_PH), step):
        rows = slice(start, min(start + step, len(hidden_PH)))
        yield rows, head.logits(hidden_PH[rows]).float().log_softmax(dim=-1)


def _entries(
    logprobs_PV: Tensor, observed_P: NDArray[np.int32], scoring: Scoring
) -> tuple[NDArray[np.generic], ...]:
    """Observed log-probability, top ids, top log-probabilities and log Z of each row."""
    index_P1 = torch.from_numpy(observed_P).long().to(logprobs_PV.device)[:, None]
    values_PK, ids_PK = _top_k(logprobs_PV, min(scoring.top_k, scoring.vocab_size))
    log_z = [
        torch.zeros_like(logprobs_PV[:, 0])
        if temperature == 1.0
        else torch.logsumexp(logprobs_PV / temperature, dim=-1)
        for temperature in scoring.kd_temperatures
    ]
    return (
        logprobs_PV.gather(1, index_P1)[:, 0].cpu().numpy(),
        ids_PK.int().cpu().numpy(),
        values_PK.cpu().numpy(),
        torch.stack(log_z, dim=1).cpu().numpy(),
    )


def _top_k(logprobs_PV: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """The K largest of each row, descending; the smaller id first among equals."""
    values, ids = logprobs_PV.topk(min(top_k + 1, logprobs_PV.shape[1]))
    # topk picks any of equal values, which matters only across the border between kept and not
    if values.shape[1] > top_k:
        tied = values[:, top_k - 1] == values[:, top_k]
        values, ids = values[:, :top_k], ids[:, :top_k]
        if bool(tied.any()):
            full = logprobs_PV[tied].sort(dim=1, descending=True, stable=True)
            values, ids = values.clone(), ids.clone()
            values[tied], ids[tied] = full.values[:, :top_k], full.indices[:, :top_k]
    ids, order = ids.sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, ids.gather(1, order)


def _distances(logprobs_PV: Tensor, teacher: _Teacher, vocab_size: int) -> NDArray[np.float64]:
    """(P, 3): negative log-likelihood, KL(teacher || student) and agreement of each row."""
    device = logprobs_PV.device
    observed_P = torch.from_numpy(teacher.token_ids).long().to(device)
    top_ids_PK = torch.from_numpy(teacher.top_ids).long().to(device)
    # Sums go on in float64 beside the model: Apple's GPUs have no such type.
    nll_P = -logprobs_PV.gather(1, observed_P[:, None])[:, 0].cpu().double()
    student_PK = logprobs_PV.gather(1, top_ids_PK).cpu().double()
    teacher_PK = torch.from_numpy(teacher.top_logprobs).double()
    probs_PK = teacher_PK.exp()
    kl_P = torch.where(probs_PK > 0, probs_PK * (teacher_PK - student_PK), 0.0).sum(dim=1)
    if top_ids_PK.shape[1] < vocab_size:
        tail_P = (1.0 - probs_PK.sum(dim=1)).clamp(min=0.0)
        rest_P = logprobs_PV.scatter(1, top_ids_PK, -torch.inf).logsumexp(dim=1).cpu().double()
        kl_P += torch.where(tail_P > 0, torch.xlogy(tail_P, tail_P) - tail_P * rest_P, 0.0)
    agrees_P = (logprobs_PV.argmax(dim=1) == top_ids_PK[:, 0]).cpu().double()
    columns: NDArray[np.float64] = torch.stack([nll_P, kl_P, agrees_P], 1).numpy()
    return columns


def _observed(conversation: EncodedConversation) -> NDArray[np.int32]:
    return conversation.ids[conversation.is_trained]


def _targets(
    example_id: str, conversation: EncodedConversation, columns: Sequence[NDArray[np.generic]]
) -> TokenTargets:
    observed, top_ids, top_logprobs, log_z = columns
    return TokenTargets(
        key=TargetKey(example_id, conversation.completion_digest, conversation.view_digest),
        token_ids=_observed(conversation),
        byte_offsets=conversation.byte_offsets[conversation.is_trained],
        observed_logprobs=observed.astype(np.float32),
        top_ids=top_ids.astype(np.int32),
        top_logprobs=top_logprobs.astype(np.float32),
        log_z=log_z.astype(np.float32),
    )


def _require_scorable(
    encoded: Sequence[EncodedConversation],
    head: HeadTensors,
    model: PreTrainedModel,
    scoring: Scoring,
) -> None:
    if scoring.vocab_size > head.num_used:
        raise ModelError(
            f"the tokenizer has {scoring.vocab_size} ids, the model's head {head.num_used} rows",
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


def _require_same_text(
    example_id: str, conversation: EncodedConversation, target: TokenTargets
) -> None:
    if target.key.completion_digest != conversation.completion_digest:
        raise ArtifactError(
            f"the targets of {target.key.example_id} belong to another text than example "
            f"{example_id}",
            "label again: rows, template or tokenizer have changed since",
        )
