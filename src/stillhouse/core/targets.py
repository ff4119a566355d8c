"""Teacher signals in memory: what the teacher said about each token of an answer, or each answer.

Legend: P answer tokens of one example, K kept teacher entries, D declared kd_temperatures,
S distinct drawn tokens of the widest position, C named classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TargetKey:
    """What a row of targets belongs to; all three must match on reading.

    Attributes:
        example_id: the example.
        completion_digest: of the token ids of the scored conversation's trained tokens.
        view_digest: of what the *teacher* saw: messages, template and tokenizer.
    """

    example_id: str
    completion_digest: str
    view_digest: str


@dataclass(frozen=True, slots=True)
class Draws:
    """Tokens drawn from the teacher, with replacement, outside its kept entries.

    With `n` draws a drawn token stands for `tail * count / n` of the probability, where `tail`
    is what the kept entries leave; the estimate of every probability is unbiased. Draws are made
    at the one kd_temperature that the store declares.

    Attributes:
        ids: (P, S) int32, distinct within a row, ascending; unused places hold 0.
        counts: (P, S) int32, how often each was drawn; 0 in unused places; rows sum to `n`, or
            to 0 where the kept entries leave nothing to draw from.
        entropy: (P,) float32, nats, of the teacher's whole distribution at that kd_temperature;
            it turns the cross-entropy with the draws into an unbiased forward KL.

    Source: Anshumann et al. 2025, arXiv:2503.16870 (random-sampling KD).
    """

    ids: NDArray[np.int32]
    counts: NDArray[np.int32]
    entropy: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TokenTargets:
    """The teacher's distribution at each trained token of one example.

    Attributes:
        key: what it belongs to.
        token_ids: (P,) int32, the observed tokens, in order.
        byte_offsets: (P, 2) int32, half-open span of each token in the UTF-8 bytes of the
            rendered conversation.
        observed_logprobs: (P,) float32, nats at temperature 1, of the observed token.
        top_ids: (P, K) int32, the K most likely tokens, most likely first; K may be 0.
        top_logprobs: (P, K) float32, nats at temperature 1; normalised over the whole vocabulary.
        log_z: (P, D) float32, log of sum over the vocabulary of exp(logprob / T) for each
            declared kd_temperature T; 0 at T = 1. With it the tail's mass is exact at each T.
        draws: from the tail, or from the whole distribution where K is 0; None without any.
    """

    key: TargetKey
    token_ids: NDArray[np.int32]
    byte_offsets: NDArray[np.int32]
    observed_logprobs: NDArray[np.float32]
    top_ids: NDArray[np.int32]
    top_logprobs: NDArray[np.float32]
    log_z: NDArray[np.float32]
    draws: Draws | None = None


@dataclass(frozen=True, slots=True)
class ClassTargets:
    """How likely each of several named answers to one example is.

    Attributes:
        example_id: the example.
        classes: C names, as they were asked for.
        logprobs: (C,) float64, nats at temperature 1, normalised over these classes.
        likelihoods: (C,) float64, nats, <= 0: the log-likelihood of each class's whole answer with
            its end of turn; of a class in a field, of its answer up to the end of the class. What
            their exponentials lack of 1 are all other answers.
    """

    example_id: str
    classes: tuple[str, ...]
    logprobs: NDArray[np.float64]
    likelihoods: NDArray[np.float64]


def first_tokens(targets: TokenTargets, count: int) -> TokenTargets:
    """The targets of an answer's first tokens.

    Args:
        targets: of one example.
        count: tokens, in [0, P].

    Returns:
        Views of the same arrays, under the same key.
    """
    draws = targets.draws
    return TokenTargets(
        key=targets.key,
        token_ids=targets.token_ids[:count],
        byte_offsets=targets.byte_offsets[:count],
        observed_logprobs=targets.observed_logprobs[:count],
        top_ids=targets.top_ids[:count],
        top_logprobs=targets.top_logprobs[:count],
        log_z=targets.log_z[:count],
        draws=draws and Draws(draws.ids[:count], draws.counts[:count], draws.entropy[:count]),
    )
