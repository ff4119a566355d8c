"""In which order examples are trained on, known from the seed alone.

One step takes `rows_per_step` examples, whatever the batch size, the accumulation and the number
of processes: 8x1, 4x2 and two processes of 4x1 train on the same rows. A pass over the examples
ends in a step that may be short of rows; it is filled with rows in which no token is trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from torch.utils.data import Sampler

FILLER = -1
"""The index of a row in which no token is trained."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of one step are laid out.

    Attributes:
        batch_size: rows in memory at once, in one process.
        accumulation: batches of one process that make a step.
        num_processes: processes that train side by side.
        rank: of this process, from 0.
    """

    batch_size: int
    accumulation: int = 1
    num_processes: int = 1
    rank: int = 0

    @property
    def rows_per_step(self) -> int:
        """Examples that one step of all processes takes."""
        return self.batch_size * self.accumulation * self.num_processes

    def steps_per_pass(self, num_examples: int) -> int:
        """Steps that see every example once."""
        return math.ceil(num_examples / self.rows_per_step)


class StepSampler(Sampler[list[int]]):
    """The batches of one process for a whole training, step after step.

    Inside a step rows are sorted by length, so that its batches need less padding; the gradient
    of the step is the same.

    Args:
        lengths: tokens of each example.
        layout: how the rows of one step are laid out.
        num_steps: of the whole training, over as many passes as it takes.
        seed: draws the order of each pass.
    """

    def __init__(self, lengths: ArrayLike, layout: Layout, num_steps: int, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.layout = layout
        self.num_steps = num_steps
        self.seed = seed

    def __len__(self) -> int:
        return self.num_steps * self.layout.accumulation

    def __iter__(self) -> Iterator[list[int]]:
        layout, per_pass = self.layout, self.layout.steps_per_pass(len(self.lengths))
        order = np.empty(0, np.int64)
        for step in range(self.num_steps):
            turn, place = divmod(step, per_pass)
            if place == 0:
                order = np.random.default_rng([self.seed, turn]).permutation(len(self.lengths))
            rows = order[place * layout.rows_per_step :][: layout.rows_per_step]
            rows = rows[np.argsort(-self.lengths[rows], kind="stable")]
            filled = np.full(layout.rows_per_step, FILLER)
            filled[: len(rows)] = rows
            parts = filled.reshape(layout.accumulation, layout.num_processes, layout.batch_size)
            yield from (part.tolist() for part in parts[:, layout.rank])


class FixedSampler(Sampler[list[int]]):
    """One process's batches over all examples once, of like length; for measuring.

    Args:
        lengths: tokens of each example.
        layout: batch size and processes; each process gets equally many batches.
    """

    def __init__(self, lengths: ArrayLike, layout: Layout) -> None:
        order = np.argsort(-np.asarray(lengths), kind="stable")
        per_turn = layout.batch_size * layout.num_processes
        filled = np.full(math.ceil(len(order) / per_turn) * per_turn, FILLER)
        filled[: len(order)] = order
        parts = filled.reshape(-1, layout.num_processes, layout.batch_size)
        self.batches: list[list[int]] = parts[:, layout.rank].tolist()

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)
