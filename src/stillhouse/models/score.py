"""What a teacher says about given text: kept entries and draws at each trained token.

Only hidden states of positions that predict a trained token meet the head, a chunk of rows at a
time, so no (B, T, V) tensor ever exists.

Legend: P trained tokens, N of a chunk, V vocabulary, K kept entries, D kd_temperatures, S draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from stillhouse.core.targets import Draws, TargetKey, TokenTargets
from stillhouse.models.draws import draw_tokens
from stillhouse.models.inference import evaluating
from stillhouse.models.logits import LogitRows, sum_rows
from stillhouse.models.scoring import Scoring
from stillhouse.models.states import AnswerStates, answer_states, observed
from stillhouse.models.tally import tally, uniforms
from stillhouse.models.top_k import top_entries
from stillhouse.tokens.encode import EncodedConversation

if TYPE_CHECKING:
    from peft import PeftModel

Number = TypeVar("Number", np.float32, np.int32)


@dataclass(slots=True)
class _Columns:
    """What the chunks of a batch gave, in the order of its positions."""

    observed_logprobs: list[NDArray[np.float32]] = field(default_factory=list)
    top_ids: list[NDArray[np.int32]] = field(default_factory=list)
    top_logprobs: list[NDArray[np.float32]] = field(default_factory=list)
    log_z: list[NDArray[np.float32]] = field(default_factory=list)
    drawn: list[NDArray[np.int32]] = field(default_factory=list)
    entropy: list[NDArray[np.float32]] = field(default_factory=list)


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
        Top entries sorted by log-probability, the smaller id first among equals. Everything
        behind the head's product is computed in float32 or wider. Draws depend on the example's
        id, the seed and the logits alone.

    Raises:
        InputError: a conversation is longer than the model's context, or has no answer.
        ModelError: the head has fewer rows than the tokenizer has ids.
    """
    encoded = [conversation for _, conversation in texts]
    sizes = {"vocab_size": scoring.vocab_size, "batch_size": scoring.batch_size}
    found: dict[int, TokenTargets] = {}
    with evaluating(model):
        for states in answer_states(model, encoded, **sizes):
            own = [texts[index] for index in states.batch]
            columns = _read(states, own, scoring)
            for index, targets in zip(states.batch, _split(columns, own, scoring), strict=True):
                found[index] = targets
    return [found[index] for index in range(len(texts))]


def _read(
    states: AnswerStates, texts: Sequence[tuple[str, EncodedConversation]], scoring: Scoring
) -> _Columns:
    numbers_PS = np.concatenate(
        [
            uniforms(name, conversation.num_trained, scoring.num_draws, scoring.seed)
            for name, conversation in texts
        ]
    )
    columns = _Columns()
    for rows, logits in states.chunks():
        _add_chunk(columns, logits, states.observed_P[rows], numbers_PS[rows], scoring)
    return columns


def _add_chunk(
    columns: _Columns,
    rows: LogitRows,
    observed_N: NDArray[np.int32],
    numbers_NS: NDArray[np.float64],
    scoring: Scoring,
) -> None:
    temperatures = tuple(dict.fromkeys((1.0, *scoring.kd_temperatures)))
    drawn_at = scoring.kd_temperatures[0] if scoring.num_draws else None
    sums = sum_rows(rows, temperatures, in_blocks=drawn_at)
    partitions = {each.temperature: each for each in sums.partitions}
    # float64 beside the model: Apple's GPUs have no such type.
    log_z_N = partitions[1.0].log_z_N
    values_NK, ids_NK = top_entries(rows, sums.maxima_NM, scoring.top_k)
    label_N1 = torch.from_numpy(observed_N).long()[:, None].to(ids_NK.device)
    label_N = rows.at(label_N1)[:, 0].cpu().double()
    columns.observed_logprobs.append((label_N - log_z_N).float().numpy())
    columns.top_ids.append(ids_NK.int().cpu().numpy())
    columns.top_logprobs.append((values_NK.cpu().double() - log_z_N[:, None]).float().numpy())
    softened = [partitions[each].log_z_N - log_z_N / each for each in scoring.kd_temperatures]
    columns.log_z.append(torch.stack(softened, 1).float().numpy())
    if drawn_at is not None:
        partition = partitions[drawn_at]
        columns.entropy.append(partition.entropy_N.float().numpy())
        columns.drawn.append(draw_tokens(rows, partition, ids_NK, numbers_NS))


def _split(
    columns: _Columns, texts: Sequence[tuple[str, EncodedConversation]], scoring: Scoring
) -> list[TokenTargets]:
    ends = np.cumsum([conversation.num_trained for _, conversation in texts])[:-1]
    observed_logprobs = _cut(columns.observed_logprobs, ends)
    top_ids, top_logprobs = _cut(columns.top_ids, ends), _cut(columns.top_logprobs, ends)
    log_z = _cut(columns.log_z, ends)
    draws: list[Draws | None] = [None] * len(texts)
    if scoring.num_draws:
        drawn, entropy = _cut(columns.drawn, ends), _cut(columns.entropy, ends)
        draws = [Draws(*tally(ids), own) for ids, own in zip(drawn, entropy, strict=True)]
    return [
        TokenTargets(
            key=TargetKey(name, conversation.completion_digest, conversation.view_digest),
            token_ids=observed(conversation),
            byte_offsets=conversation.byte_offsets[conversation.is_trained],
            observed_logprobs=observed_logprobs[number],
            top_ids=top_ids[number],
            top_logprobs=top_logprobs[number],
            log_z=log_z[number],
            draws=draws[number],
        )
        for number, (name, conversation) in enumerate(texts)
    ]


def _cut(parts: list[NDArray[Number]], ends: NDArray[np.int64]) -> list[NDArray[Number]]:
    return np.split(np.concatenate(parts), ends)
