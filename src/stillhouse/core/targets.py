"""Teacher signals in memory: what the teacher said about each token of an answer.

Legend: P answer tokens of one example, K kept teacher entries, D declared kd_temperatures.
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
class TokenTargets:
    """The teacher's distribution at each trained token of one example.

    Attributes:
        key: what it belongs to.
        token_ids: (P,) int32, the observed tokens, in order.
        byte_offsets: (P, 2) int32, half-open span of each token in the UTF-8 bytes of the
            rendered conversation.
        observed_logprobs: (P,) float32, nats at temperature 1, of the observed token.
        top_ids: (P, K) int32, the K most likely tokens, most likely first.
        top_logprobs: (P, K) float32, nats at temperature 1; normalised over the whole vocabulary.
        log_z: (P, D) float32, log of sum over the vocabulary of exp(logprob / T) for each
            declared kd_temperature T; 0 at T = 1. With it the tail's mass is exact at each T.
    """

    key: TargetKey
    token_ids: NDArray[np.int32]
    byte_offsets: NDArray[np.int32]
    observed_logprobs: NDArray[np.float32]
    top_ids: NDArray[np.int32]
    top_logprobs: NDArray[np.float32]
    log_z: NDArray[np.float32]
