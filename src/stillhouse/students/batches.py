"""From encoded examples to batches: several examples in a row, or one in each.

Legend: R rows of a batch, W their width, N trained tokens of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from stillhouse.students.class_examples import ClassExample
from stillhouse.students.examples import EncodedExample
from stillhouse.students.order import FILLER
from stillhouse.students.soft_rows import soft_rows
from stillhouse.tokens.packing import pack_rows

Learned = EncodedExample | ClassExample
"""What a training has many of: text with targets of its tokens, or named answers."""


class BatchMaker(Protocol):
    """Lays examples out in the rows of a batch."""

    @property
    def is_packed(self) -> bool:
        """Whether several examples share a row."""

    def __call__(self, examples: Sequence[Any]) -> dict[str, Any]:
        """Rows and `targets` of one batch."""


class ExampleDataset(Dataset[Learned]):
    """Examples by index; `FILLER` gives a row of one token that is not trained.

    Args:
        examples: what is trained on.
    """

    def __init__(self, examples: Sequence[Learned]) -> None:
        self.examples = examples
        self.filler = EncodedExample(np.zeros(1, np.int32), np.zeros(1, np.bool_))

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Learned:
        return self.filler if index == FILLER else self.examples[index]


@dataclass(frozen=True, slots=True)
class Collator:
    """Lays examples out in rows.

    Attributes:
        log_z_column: the column of `TokenTargets.log_z` that belongs to the kd_temperature in
            use; -1 leaves the soft targets out.
        is_packed: several examples share a row where they fit, which the model must be able to
            read (`models.packing.can_pack`); else each has a row that is padded on the right.
        kd_temperature: of the objective, at which drawn tokens were drawn.
    """

    log_z_column: int = -1
    is_packed: bool = True
    kd_temperature: float = 1.0

    def __call__(self, examples: Sequence[EncodedExample]) -> dict[str, Any]:
        """Tensors of one batch; fillers are left out, but for one where there is nothing else.

        Args:
            examples: at least one, fillers included.

        Returns:
            `input_ids` (R, W) int64, beside it `position_ids` (R, W) of packed rows or the
            `attention_mask` (R, W) of padded ones, and `targets` with flat entries in row-major
            order: `positions` (N,), the flat index r * W + w of the position that *predicts*
            each trained token, `token_ids` (N,), and unless left out what `soft_rows` makes of
            the soft targets.
        """
        present = [example for example in examples if example.is_trained.any()] or examples[:1]
        lengths = [len(example.ids) for example in present]
        rows = pack_rows(lengths) if self.is_packed else [[index] for index in range(len(present))]
        ids_RW, inside_RW, mask_RW = np.zeros((3, len(rows), max(lengths)), np.int64)
        trained_RW = np.zeros(ids_RW.shape, np.bool_)
        for row, indices in enumerate(rows):
            start = 0
            for example in (present[index] for index in indices):
                place = slice(start, start + len(example.ids))
                ids_RW[row, place], mask_RW[row, place] = example.ids, 1
                trained_RW[row, place] = example.is_trained
                # Padding goes on behind the last example, which cannot look forward.
                inside_RW[row, start:] = np.arange(ids_RW.shape[1] - start)
                start = place.stop
        places = np.flatnonzero(trained_RW)
        targets = {"positions": places - 1, "token_ids": ids_RW.reshape(-1)[places]}
        if self.log_z_column >= 0:
            in_order = (present[index].targets for indices in rows for index in indices)
            parts = [part for part in in_order if part is not None]
            targets |= soft_rows(parts, self.log_z_column, self.kd_temperature)
        return {
            "input_ids": torch.from_numpy(ids_RW),
            "position_ids" if self.is_packed else "attention_mask": torch.from_numpy(
                inside_RW if self.is_packed else mask_RW
            ),
            "targets": {name: torch.from_numpy(value) for name, value in targets.items()},
        }


def count_units(targets: Mapping[str, torch.Tensor]) -> tuple[int, int, int]:
    """What the losses of a batch are taken of.

    Args:
        targets: as a collator made them.

    Returns:
        Tokens that are scored; of these, tokens whose text is learned; examples with classes.
    """
    scored = len(targets["token_ids"])
    if "teacher_probs" not in targets:
        return scored, scored, 0
    return scored, len(targets["hard_tokens"]), len(targets["teacher_probs"])


def load_batches(
    dataset: ExampleDataset, sampler: Sampler[list[int]], collator: BatchMaker
) -> DataLoader[Learned]:
    """A loader in this process; it draws from a generator of its own, so nothing else shifts."""
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collator,
        generator=torch.Generator().manual_seed(0),
    )
