"""The work that trainers are compared on: random models of one shape, rows of realistic lengths.

Random weights and random tokens take the time that real ones take, and need no download.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from stillhouse.students.order import Layout, StepSampler
from stillhouse.tokens.encode import EncodedConversation

LONGEST = 512
_MEDIAN, _SIGMA, _SHORTEST = 240, 0.6, 32
"""Of the log-normal lengths. assumption: instruction data is spread so; the mean is about 260."""
_FIRST_ID = 3  # below are padding, begin and end
SEED = 0


@dataclass(frozen=True, slots=True)
class Work:
    """One piece of work, the same in every process.

    Attributes:
        vocab: tokens of teacher and student.
        batch: rows of a step.
        steps: of the training; the first warms up and is not measured.
    """

    vocab: int
    batch: int
    steps: int

    @classmethod
    def of(cls, spec: dict[str, Any]) -> Self:
        """The work that a child was told to do."""
        return cls(spec["vocab"], spec["batch"], spec["steps"])

    def rows(self) -> list[EncodedConversation]:
        """`batch * steps` rows; the first half of each is prompt."""
        random = np.random.default_rng(SEED)
        drawn = random.lognormal(np.log(_MEDIAN), _SIGMA, self.batch * self.steps)
        lengths = drawn.clip(_SHORTEST, LONGEST).astype(int)
        return [_row(random.integers(_FIRST_ID, self.vocab, n).astype(np.int32)) for n in lengths]

    def order(self) -> list[list[int]]:
        """Which rows each step takes: the order of our own trainer."""
        lengths = [len(row.ids) for row in self.rows()]
        return list(StepSampler(lengths, Layout(self.batch), self.steps, SEED))

    def measured_tokens(self) -> dict[str, int]:
        """Tokens of the measured steps, and how many of them are trained."""
        rows = self.rows()
        taken = [rows[index] for step in self.order()[1:] for index in step]
        return {
            "rows": len(taken),
            "tokens": sum(len(row.ids) for row in taken),
            "trained": sum(row.num_trained for row in taken),
        }

    def student(self) -> PreTrainedModel:
        """4 layers of 256, tied."""
        return qwen3(self.vocab, 4, 256)

    def teacher(self) -> PreTrainedModel:
        """8 layers of 512, tied, in eval mode."""
        return qwen3(self.vocab, 8, 512).eval().requires_grad_(False)


def _row(ids: NDArray[np.int32]) -> EncodedConversation:
    is_trained = np.arange(len(ids)) >= len(ids) // 2
    starts = np.arange(len(ids), dtype=np.int32)
    digest = hashlib.sha256(ids.tobytes()).hexdigest()
    return EncodedConversation(
        ids=ids,
        is_trained=is_trained,
        byte_offsets=np.stack((starts, starts + 1), 1),
        text="",
        view_digest=digest,
        completion_digest=digest,
    )


def qwen3(vocab: int, layers: int, hidden: int, seed: int = SEED) -> PreTrainedModel:
    """A Qwen3 model with tied embeddings and random float32 weights, the same for one seed."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 128,
        head_dim=64,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return Qwen3ForCausalLM(config).float()
