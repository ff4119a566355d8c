"""Small students that score the classes of a question, trained from random weights.

Two of them: hashed n-grams under a linear layer, and a text encoder of two layers. Both see words
as hashes, so nothing is learned from the questions that are held out, not even a vocabulary.

Legend: N questions, C classes, M candidates of a batch, W scores of a candidate, T word position.
"""

from __future__ import annotations

import itertools
import math
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from voted import VoteSet

Parts = tuple[str, ...]
Loss = Callable[[Tensor, NDArray[np.int64]], Tensor]
"""From scores (B, C) and which questions they are of to a loss of each (B,)."""

_WORD = re.compile(r"\w+|[^\w\s]")
_BUCKETS = 1 << 14
_VOCAB, _LONGEST = 4096, 48


@dataclass(frozen=True, slots=True)
class Plan:
    """How a student is trained; the same for every loss.

    Attributes:
        build: an untrained student that gives W scores.
        encode: the parts of a candidate as whole numbers.
        passes: over the training questions, at most.
        learning_rate: of AdamW, constant.
        weight_decay: of AdamW.
        batch: questions of a step.
        most_steps: of a training; many questions are passed less often.
    """

    build: Callable[[int], nn.Module]
    encode: Callable[[Parts], tuple[NDArray[np.int64], NDArray[np.int64]]]
    passes: int
    learning_rate: float
    weight_decay: float = 0.01
    batch: int = 32
    most_steps: int = 600

    def num_passes(self, num_questions: int) -> int:
        """Passes over so many questions: fewer where they would take more than `most_steps`."""
        per_pass = math.ceil(num_questions / self.batch)
        return max(1, min(self.passes, self.most_steps // per_pass))


# N-grams --------------------------------------------------------------------------------------


def _hash(text: str, buckets: int) -> int:
    return zlib.crc32(text.encode()) % buckets


def _grams(parts: Parts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Words, pairs and pieces of words of each part; words that the last two parts share or not."""
    found = []
    worded = [_WORD.findall(part.lower()) for part in parts]
    for place, words in enumerate(worded):
        pieces = [f"<{word}>"[at : at + 4] for word in words for at in range(len(word) - 1)]
        pairs = [" ".join(pair) for pair in itertools.pairwise(words)]
        for kind, texts in (("word", words), ("pair", pairs), ("piece", pieces)):
            found += [f"{place} {kind} {text}" for text in texts]
    if len(worded) > 1:
        before, last = set(worded[-2]), set(worded[-1])
        found += [f"both {word}" for word in before & last]
        found += [f"only last {word}" for word in last - before]
        found += [f"only before {word}" for word in before - last]
        found.append(f"shared {round(5 * len(before & last) / max(1, len(last)))}")
    hashed = np.array(sorted({_hash(text, _BUCKETS) for text in found}), dtype=np.int64)
    return hashed, np.zeros_like(hashed)


class NGrams(nn.Module):
    """A linear layer over hashed n-grams, each text of length 1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rows = nn.EmbeddingBag(_BUCKETS, width, mode="sum")
        nn.init.normal_(self.rows.weight, std=0.01)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, ids: Sequence[NDArray[np.int64]], _kinds: Any) -> Tensor:
        """(M, W) scores of M candidates."""
        lengths = np.array([len(own) for own in ids])
        weights = np.repeat(1.0 / np.sqrt(lengths), lengths).astype(np.float32)
        starts = torch.from_numpy(np.cumsum(lengths) - lengths)
        joined = torch.from_numpy(np.concatenate(ids))
        found: Tensor = self.rows(joined, starts, per_sample_weights=torch.from_numpy(weights))
        return found + self.bias


# Encoder --------------------------------------------------------------------------------------


def _word_ids(parts: Parts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hashed words with a mark before each part, the last ones where there are too many."""
    ids, kinds = [], []
    for place, part in enumerate(parts):
        words = [1, *(2 + _hash(word, _VOCAB - 2) for word in _WORD.findall(part.lower()))]
        ids += words
        kinds += [place] * len(words)
    return np.array(ids[-_LONGEST:]), np.array(kinds[-_LONGEST:])


class Encoder(nn.Module):
    """A BERT of 2 layers of 64, the mean of its states, a linear layer."""

    def __init__(self, width: int) -> None:
        # Takes seconds to import, which the other student does not need.
        from transformers import BertConfig, BertModel

        super().__init__()
        self.body = BertModel(
            BertConfig(
                vocab_size=_VOCAB,
                hidden_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=128,
                max_position_embeddings=_LONGEST,
                type_vocab_size=4,
                pad_token_id=0,
            ),
            add_pooling_layer=False,
        )
        self.head = nn.Linear(64, width)

    def forward(
        self, ids: Sequence[NDArray[np.int64]], kinds: Sequence[NDArray[np.int64]]
    ) -> Tensor:
        """(M, W) scores of M candidates."""
        ids_MT, kinds_MT = _padded(ids), _padded(kinds)
        mask_MT = (ids_MT > 0).long()
        told = self.body(input_ids=ids_MT, token_type_ids=kinds_MT, attention_mask=mask_MT)
        summed = (told.last_hidden_state * mask_MT[..., None]).sum(1)
        scores: Tensor = self.head(summed / mask_MT.sum(1, keepdim=True))
        return scores


def _padded(rows: Sequence[NDArray[np.int64]]) -> Tensor:
    padded = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for row, own in zip(padded, rows, strict=True):
        row[: len(own)] = own
    return torch.from_numpy(padded)


PLANS = {
    "n-grams": Plan(NGrams, _grams, passes=12, learning_rate=0.01),
    "encoder": Plan(Encoder, _word_ids, passes=8, learning_rate=5e-4),
}

# Training -------------------------------------------------------------------------------------


class Reading:
    """Questions as a student reads them.

    Args:
        questions: of one set.
        plan: of the student.
    """

    def __init__(self, questions: VoteSet, plan: Plan) -> None:
        self.plan = plan
        self.num_classes = len(questions.classes)
        self.encoded = [[plan.encode(parts) for parts in own] for own in questions.parts]

    @property
    def width(self) -> int:
        """Scores of a candidate: one where the classes are candidates, else one a class."""
        return 1 if len(self.encoded[0]) > 1 else self.num_classes

    def score(self, student: nn.Module, chosen: NDArray[np.int64]) -> Tensor:
        """(B, C) scores of the classes of some questions."""
        candidates = [one for index in chosen for one in self.encoded[index]]
        ids, kinds = zip(*candidates, strict=True)
        scores: Tensor = student(ids, kinds)
        return scores.reshape(len(chosen), self.num_classes)

    def scores(self, student: nn.Module, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        """(B, C) the same in eval mode, in small batches."""
        student.eval()
        with torch.inference_mode():
            parts = np.array_split(chosen, max(1, len(chosen) // 128))
            found = torch.cat([self.score(student, part) for part in parts])
        student.train()
        return found.double().numpy()


def train(
    reading: Reading,
    learned: NDArray[np.int64],
    asked: NDArray[np.int64],
    loss: Loss,
    seed: int,
    looks: int,
) -> NDArray[np.float64]:
    """What a student says while it learns.

    Args:
        reading: the questions.
        learned: places of those that are trained on.
        asked: places of those that are answered.
        loss: what is minimised.
        seed: of weights, order and dropout; equal seeds begin from equal weights and see equal
            batches, whatever the loss.
        looks: how often it is asked, evenly over the training; the last time at its end.

    Returns:
        (looks, len(asked), C) scores.
    """
    plan = reading.plan
    torch.manual_seed(seed)
    student = plan.build(reading.width).train()
    optimizer = torch.optim.AdamW(
        student.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
    )
    random = np.random.default_rng(seed)
    passes = [random.permutation(learned) for _ in range(plan.num_passes(len(learned)))]
    batches = [own[at : at + plan.batch] for own in passes for at in range(0, len(own), plan.batch)]
    last = {round(len(batches) * (look + 1) / looks) - 1 for look in range(looks)}
    said = []
    for step, chosen in enumerate(batches):
        optimizer.zero_grad()
        loss(reading.score(student, chosen), chosen).mean().backward()
        optimizer.step()
        if step in last:
            said.append(reading.scores(student, asked))
    return np.stack(said)
