"""From encoded examples to padded batches, in an order that is known from the seed alone.

One step takes `rows_per_step` examples, whatever the batch size, the accumulation and the number
of processes: 8x1, 4x2 and two processes of 4x1 train on the same rows. A pass over the examples
ends in a step that may be short of rows; it is filled with rows in which no token is trained.

Legend: B batch, T token position, N trained tokens of a batch, P of one example, K kept entries.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from stillhouse.core.errors import InputError, ShapeError
from stillhouse.core.targets import TokenTargets

FILLER = -1
"""The index of a row in which no token is trained."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodedExample:
    """One conversation as ids, with what is learned from it.

    Attributes:
        ids: (T,) int32.
        is_trained: (T,) bool, true where the token itself is predicted; never at position 0.
        targets: the teacher's distribution at the P trained tokens, or None to learn the tokens
            alone.
    """

    ids: NDArray[np.int32]
    is_trained: NDArray[np.bool_]
    targets: TokenTargets | None = None


def check_examples(
    examples: Sequence[EncodedExample], vocab_size: int, num_log_z: int, max_length: int = 0
) -> None:
    """Make sure that every example can be trained on.

    Args:
        examples: what is trained on; targets on all of them or on none.
        vocab_size: ids that the student knows.
        num_log_z: columns of log Z that are needed; 0 when the objective needs no targets.
        max_length: tokens that the student has positions for; 0 when it names no limit.

    Raises:
        InputError: no examples, one without a trained token, one without needed targets, or one
            that is too long.
        ShapeError: ids beyond the vocabulary, or targets that belong to other tokens.
    """
    if not examples:
        raise InputError("there is no example to train on")
    for index, example in enumerate(examples):
        if max_length and len(example.ids) > max_length:
            raise InputError(
                f"example {index} has {len(example.ids):,} tokens, but the student has positions "
                f"for {max_length:,}",
                "set prepare.max_tokens to that, or take a student of a longer context",
            )
        trained = example.ids[example.is_trained]
        if not len(trained) or example.is_trained[0]:
            raise InputError(
                f"example {index} trains no token, or its first, which nothing predicts",
                "drop rows without an answer in prepare",
            )
        highest = example.ids.max()
        if num_log_z:
            highest = max(highest, _check_targets(index, example, trained, num_log_z))
        if highest >= vocab_size:
            raise ShapeError(
                f"example {index} holds token id {highest}, but the student knows {vocab_size}",
                "targets and student must share one tokenizer",
            )


def _check_targets(
    index: int, example: EncodedExample, trained: NDArray[np.int32], num_log_z: int
) -> np.int32:
    targets = example.targets
    if targets is None:
        raise InputError(
            f"example {index} has no soft targets, which the loss term forward_kl needs",
            "label the parts that are trained on, or set the weight of forward_kl to 0",
        )
    if not np.array_equal(targets.token_ids, trained):
        raise ShapeError(
            f"example {index} trains {len(trained)} tokens; its targets belong to "
            f"{len(targets.token_ids)} tokens that are not the same"
        )
    if targets.log_z.shape[1] < num_log_z:
        raise ShapeError(f"example {index} has {targets.log_z.shape[1]} columns of log Z")
    return targets.top_ids.max(initial=0)


class ExampleDataset(Dataset[EncodedExample]):
    """Examples by index; `FILLER` gives a row of one token that is not trained.

    Args:
        examples: what is trained on.
    """

    def __init__(self, examples: Sequence[EncodedExample]) -> None:
        self.examples = examples
        self.filler = EncodedExample(np.zeros(1, np.int32), np.zeros(1, np.bool_))

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> EncodedExample:
        return self.filler if index == FILLER else self.examples[index]


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

    def __init__(self, lengths: Sequence[int], layout: Layout, num_steps: int, seed: int) -> None:
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

    def __init__(self, lengths: Sequence[int], layout: Layout) -> None:
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


@dataclass(frozen=True, slots=True)
class Collator:
    """Puts examples side by side.

    Attributes:
        log_z_column: the column of `TokenTargets.log_z` that belongs to the kd_temperature in
            use; -1 leaves the soft targets out.
    """

    log_z_column: int = -1

    def __call__(self, examples: Sequence[EncodedExample]) -> dict[str, Any]:
        """Tensors of one batch, padded on the right.

        Args:
            examples: B of them, fillers included.

        Returns:
            `input_ids` and `attention_mask`, both (B, T) int64, and `targets` with flat entries
            in row-major order: `positions` (N,), the flat index b * T + t of the position that
            *predicts* each trained token, `token_ids` (N,), and unless left out `top_ids` (N, K),
            `top_logprobs` (N, K), `log_z` (N,).
        """
        width = max(len(example.ids) for example in examples)
        ids_BT = np.zeros((len(examples), width), np.int64)
        mask_BT = np.zeros((len(examples), width), np.int64)
        trained_BT = np.zeros((len(examples), width), np.bool_)
        for row, example in enumerate(examples):
            ids_BT[row, : len(example.ids)] = example.ids
            mask_BT[row, : len(example.ids)] = 1
            trained_BT[row, : len(example.ids)] = example.is_trained
        places = np.flatnonzero(trained_BT)
        targets = {"positions": places - 1, "token_ids": ids_BT.reshape(-1)[places]}
        if self.log_z_column >= 0:
            targets |= self._soft([e.targets for e in examples if e.targets is not None])
        return {
            "input_ids": torch.from_numpy(ids_BT),
            "attention_mask": torch.from_numpy(mask_BT),
            "targets": {name: torch.from_numpy(value) for name, value in targets.items()},
        }

    def _soft(self, rows: Sequence[TokenTargets]) -> dict[str, NDArray[Any]]:
        if not rows:
            nothing = np.zeros((0, 0), np.float32)
            log_z = np.zeros(0, np.float32)
            return {"top_ids": nothing.astype(np.int64), "top_logprobs": nothing, "log_z": log_z}
        return {
            "top_ids": np.concatenate([row.top_ids for row in rows]).astype(np.int64),
            "top_logprobs": np.concatenate([row.top_logprobs for row in rows]),
            "log_z": np.concatenate([row.log_z[:, self.log_z_column] for row in rows]),
        }


def load_batches(
    dataset: ExampleDataset, sampler: Sampler[list[int]], collator: Collator
) -> DataLoader[EncodedExample]:
    """A loader in this process; it draws from a generator of its own, so nothing else shifts."""
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collator,
        generator=torch.Generator().manual_seed(0),
    )
