"""How far a student is from its teacher's stored targets.

Legend: P trained tokens, N of a chunk, V vocabulary, K kept teacher entries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from stillhouse.core.errors import ArtifactError
from stillhouse.core.targets import TokenTargets
from stillhouse.models.inference import evaluating
from stillhouse.models.logits import BLOCK, NOTHING, LogitRows, sum_rows
from stillhouse.models.states import answer_states
from stillhouse.tokens.encode import EncodedConversation

if TYPE_CHECKING:
    from peft import PeftModel


@dataclass(frozen=True, slots=True)
class StudentScore:
    """How near a student is to its teacher on one example; sums over its trained tokens.

    Attributes:
        nll_sum: of the observed tokens under the student, nats.
        kl_sum: KL(teacher || student) at temperature 1 over the teacher's K entries and the tail
            as one, nats; exact when K is the vocabulary, else a lower bound.
        jsd_sum: the Jensen-Shannon divergence of both, in halves, of the same entries, nats, at
            most log 2 a token; a lower bound likewise.
        acceptance_sum: what is expected of speculative decoding, the student drafting: the mass
            that both share, a token between 0 and 1; an upper bound where a tail is one entry.
        num_tokens: trained tokens.
        num_right: observed tokens that none is likelier than.
        num_agreeing: tokens at which none is likelier to the student than the teacher's first.
    """

    nll_sum: float
    kl_sum: float
    jsd_sum: float
    acceptance_sum: float
    num_tokens: int
    num_right: int
    num_agreeing: int


def score_against(
    model: PreTrainedModel | PeftModel,
    texts: Sequence[tuple[str, EncodedConversation]],
    targets: Sequence[TokenTargets],
    *,
    vocab_size: int,
    batch_size: int,
) -> list[StudentScore]:
    """How far the student is from the teacher's targets, for every text, in order.

    Args:
        model: the student.
        texts: example ids with their conversations.
        targets: the teacher's, one for each text, with at least one kept entry.
        vocab_size: ids of the tokenizer; rows of the head behind them get no mass.
        batch_size: examples side by side.

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
        for states in answer_states(model, encoded, vocab_size=vocab_size, batch_size=batch_size):
            own = [targets[index] for index in states.batch]
            ids_PK = torch.from_numpy(np.concatenate([target.top_ids for target in own])).long()
            teacher_PK = torch.from_numpy(np.concatenate([target.top_logprobs for target in own]))
            observed_P = torch.from_numpy(states.observed_P).long()
            parts = [
                _distances(logits, observed_P[rows], ids_PK[rows], teacher_PK[rows].double())
                for rows, logits in states.chunks()
            ]
            sums_PC = np.concatenate(parts)
            start = 0
            for index in states.batch:
                count = encoded[index].num_trained
                nll, kl, jsd, shared, right, agreeing = sums_PC[start : start + count].sum(axis=0)
                sums = (float(nll), float(kl), float(jsd), float(shared))
                found[index] = StudentScore(*sums, count, int(right), int(agreeing))
                start += count
    return [found[index] for index in range(len(texts))]


def score_stored(
    own: TokenTargets, target: TokenTargets, *, vocab_size: int, batch_tokens: int = 256
) -> StudentScore:
    """How far a student's own stored distribution is from the teacher's.

    Args:
        own: the student's, with every id of the vocabulary kept.
        target: the teacher's of the same text, with at least one kept entry.
        vocab_size: V.
        batch_tokens: tokens side by side.

    Returns:
        Sums in float64.

    Raises:
        ArtifactError: both are of different texts.
    """
    if own.key.completion_digest != target.key.completion_digest:
        raise _other_text(target.key.example_id, own.key.example_id)
    width = -(-vocab_size // BLOCK) * BLOCK
    parts = []
    for start in range(0, len(own.token_ids), batch_tokens):
        some = slice(start, start + batch_tokens)
        ids_NV = torch.from_numpy(own.top_ids[some].astype(np.int64))
        logprobs_NV = torch.from_numpy(own.top_logprobs[some]).float()
        logits_NW = torch.full((len(ids_NV), width), NOTHING).scatter_(1, ids_NV, logprobs_NV)
        parts.append(
            _distances(
                LogitRows(logits_NW, vocab_size),
                torch.from_numpy(own.token_ids[some].astype(np.int64)),
                torch.from_numpy(target.top_ids[some].astype(np.int64)),
                torch.from_numpy(target.top_logprobs[some]).double(),
            )
        )
    nll, kl, jsd, shared, right, agreeing = np.concatenate(parts).sum(axis=0)
    sums = (float(nll), float(kl), float(jsd), float(shared))
    return StudentScore(*sums, len(own.token_ids), int(right), int(agreeing))


def _distances(
    rows: LogitRows, observed_N: Tensor, top_ids_NK: Tensor, teacher_NK: Tensor
) -> NDArray[np.float64]:
    """(N, 6): a row's nll, KL, JSD, shared mass, and whether text and teacher have its first."""
    device = rows.logits_NW.device
    ids_NK = top_ids_NK.to(device)
    # Sums go on in float64 beside the model: Apple's GPUs have no such type.
    label_N = rows.at(observed_N[:, None].to(device))[:, 0].cpu().double()
    student_NK = rows.at(ids_NK).cpu().double()
    rows.remove_(ids_NK)
    sums = sum_rows(rows, (1.0,))
    # The tail is summed by itself, so that a small one beside a large head stays exact.
    tail_N = sums.partitions[0].log_z_N
    log_z_N = torch.logaddexp(tail_N, student_NK.logsumexp(1))
    own_NK, theirs_NK = student_NK - log_z_N[:, None], teacher_NK
    if ids_NK.shape[1] < rows.vocab_size:
        mass_N = (1.0 - teacher_NK.exp().sum(1)).clamp(min=0.0)
        theirs_NK = torch.cat([teacher_NK, mass_N.log()[:, None]], 1)
        own_NK = torch.cat([own_NK, (tail_N - log_z_N)[:, None]], 1)
    rival_N = torch.maximum(sums.maxima_NM.amax(1).cpu().double(), student_NK.amax(1))
    middle_NK = torch.logaddexp(theirs_NK, own_NK) - math.log(2.0)
    columns_N = [
        log_z_N - label_N,
        _divergence(theirs_NK, own_NK),
        (_divergence(theirs_NK, middle_NK) + _divergence(own_NK, middle_NK)).clamp(min=0.0) / 2.0,
        torch.minimum(theirs_NK, own_NK).exp().sum(1),
        (label_N >= rival_N).double(),
        (student_NK[:, 0] >= rival_N).double(),
    ]
    found: NDArray[np.float64] = torch.stack(columns_N, 1).numpy()
    return found


def _divergence(first_NK: Tensor, second_NK: Tensor) -> Tensor:
    """(N,) KL of log-probabilities (N, K); an entry without mass costs nothing."""
    apart_NK = first_NK.exp() * (first_NK - second_NK)
    return torch.where(first_NK > -torch.inf, apart_NK, 0.0).sum(1)


def _require_same_text(
    example_id: str, conversation: EncodedConversation, target: TokenTargets
) -> None:
    if target.key.completion_digest != conversation.completion_digest:
        raise _other_text(target.key.example_id, example_id)


def _other_text(of: str, example_id: str) -> ArtifactError:
    return ArtifactError(
        f"the targets of {of} belong to another text than example {example_id}",
        "label again: rows, template or tokenizer have changed since",
    )
