"""From examples with named answers to batches: trees in rows, or a row for each answer.

Legend: R rows of a batch, W their width, N scored tokens, E examples, C classes, M pairs of an
answer and a token of it, P tokens of the hard answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stillhouse.students.class_examples import NO_LABEL, ClassExample
from stillhouse.students.examples import EncodedExample
from stillhouse.tokens.answer_trees import AnswerTree
from stillhouse.tokens.packing import pack_rows

Ints = NDArray[np.int64] | NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class ClassCollator:
    """Lays the answers of examples out in rows.

    Attributes:
        is_packed: trees share rows, which the model must be able to read
            (`models.trees.can_read_trees`); else each answer has a row of its own.
    """

    is_packed: bool = True

    def __call__(self, examples: Sequence[ClassExample | EncodedExample]) -> dict[str, Any]:
        """Tensors of one batch; fillers are left out, but for one row where there is nothing else.

        Args:
            examples: at least one; `EncodedExample` are fillers.

        Returns:
            `input_ids` (R, W) int64; beside it `position_ids` and `ends` (R, W) of trees, or the
            `attention_mask` (R, W) of single answers; and `targets`: `positions` (N,), the flat
            index r * W + w of the position that predicts each scored token, `token_ids` (N,),
            `answers` (M,) and `tokens` (M,) as in `losses.class_terms.ClassRows`, `teacher_probs`
            (E, C), and `hard_tokens` (P,).
        """
        present = [one for one in examples if isinstance(one, ClassExample)]
        laid = _trees(present) if self.is_packed else _single_answers(present)
        num_classes = len(present[0].teacher_probs) if present else 0
        probs = [one.teacher_probs for one in present]
        targets = laid.targets() | {
            "teacher_probs": np.stack(probs) if probs else np.zeros((0, num_classes), np.float32)
        }
        return {
            **{name: torch.from_numpy(value) for name, value in laid.rows.items()},
            "targets": {name: torch.from_numpy(value) for name, value in targets.items()},
        }


@dataclass(slots=True)
class _Laid:
    """Rows, and the scored tokens in them."""

    rows: dict[str, Ints]
    positions: list[Ints] = field(default_factory=list)
    token_ids: list[Ints] = field(default_factory=list)
    answers: list[Ints] = field(default_factory=list)
    tokens: list[Ints] = field(default_factory=list)
    hard_tokens: list[Ints] = field(default_factory=list)
    num_scored: int = 0

    def add(self, positions: Ints, token_ids: Ints) -> int:
        """Scored tokens; gives the number of the first."""
        first = self.num_scored
        self.positions.append(positions)
        self.token_ids.append(token_ids)
        self.num_scored += len(positions)
        return first

    def targets(self) -> dict[str, Ints]:
        names = ("positions", "token_ids", "answers", "tokens", "hard_tokens")
        nothing = np.zeros(0, np.int64)
        return {
            name: np.concatenate([nothing, *getattr(self, name)]).astype(np.int64) for name in names
        }


def _trees(examples: Sequence[ClassExample]) -> _Laid:
    lengths = [len(one.ids) for one in examples] or [1]
    rows = pack_rows(lengths)
    shape = (len(rows), max(lengths))
    # A place that nothing stands in sees itself alone.
    ends_RW = np.broadcast_to(np.arange(1, shape[1] + 1), shape).copy()
    ids_RW, depths_RW = np.zeros((2, *shape), np.int64)
    laid = _Laid({"input_ids": ids_RW, "position_ids": depths_RW, "ends": ends_RW})
    places = {
        index: (row, sum(lengths[other] for other in indices[:turn]))
        for row, indices in enumerate(rows)
        for turn, index in enumerate(indices)
    }
    for number, example in enumerate(examples):
        tree = example.tree
        row, start = places[number]
        own = slice(start, start + len(tree.ids))
        ids_RW[row, own], depths_RW[row, own] = tree.ids, tree.depths
        ends_RW[row, own] = tree.ends + start
        first = laid.add(row * shape[1] + start + tree.predictors, tree.scored)
        laid.answers.append(number * tree.num_answers + tree.answer_of)
        laid.tokens.append(first + tree.token_of)
        if example.hard_label != NO_LABEL:
            laid.hard_tokens.append(first + tree.tokens_of(example.hard_label))
    return laid


def _single_answers(examples: Sequence[ClassExample]) -> _Laid:
    ways = [
        (number, answer, tokens, _way(example.tree, tokens))
        for number, example in enumerate(examples)
        for answer in range(example.tree.num_answers)
        for tokens in [example.tree.tokens_of(answer)]
    ]
    shape = (max(1, len(ways)), max((len(way) for *_, way in ways), default=1))
    ids_RW, mask_RW = np.zeros((2, *shape), np.int64)
    mask_RW[len(ways) :] = 1
    laid = _Laid({"input_ids": ids_RW, "attention_mask": mask_RW})
    for row, (number, answer, tokens, way) in enumerate(ways):
        example = examples[number]
        tree = example.tree
        ids_RW[row, : len(way)], mask_RW[row, : len(way)] = tree.ids[way], 1
        first = laid.add(row * shape[1] + tree.depths[tree.predictors[tokens]], tree.scored[tokens])
        count = np.arange(first, first + len(tokens))
        laid.answers.append(np.full(len(tokens), number * tree.num_answers + answer))
        laid.tokens.append(count)
        if answer == example.hard_label:
            laid.hard_tokens.append(count)
    return laid


def _way(tree: AnswerTree, tokens: NDArray[np.int32]) -> Ints:
    """The places of all tokens that an answer's last token follows, from the first on."""
    last = int(tree.predictors[tokens[-1]])
    return np.flatnonzero(tree.ends[: last + 1] > last)
