"""From encoded examples to batches: several examples in a row, or one in each.

Legend: R rows of a batch, W their width, N trained tokens of a batch, K kept entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from stillhouse.core.targets import TokenTargets
from stillhouse.students.examples import EncodedExample
from stillhouse.students.order import FILLER
from stillhouse.tokens.packing import pack_rows


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
class Collator:
    """Lays examples out in rows.

    Attributes:
        log_z_column: the column of `TokenTargets.log_z` that belongs to the kd_temperature in
            use; -1 leaves the soft targets out.
        is_packed: several examples share a row where they fit, which the model must be able to
            read (`models.packing.can_pack`); else each has a row that is padded on the right.
    """

    log_z_column: int = -1
    is_packed: bool = True

    def __call__(self, examples: Sequence[EncodedExample]) -> dict[str, Any]:
        """Tensors of one batch; fillers are left out, but for one where there is nothing else.

        Args:
            examples: at least one, fillers included.

        Returns:
            `input_ids` (R, W) int64, beside it `position_ids` (R, W) of packed rows or the
            `attention_mask` (R, W) of padded ones, and `targets` with flat entries in row-major
            order: `positions` (N,), the flat index r * W + w of the position that *predicts*
            each trained token, `token_ids` (N,), and unless left out `top_ids` (N, K),
            `top_logprobs` (N, K), `log_z` (N,).
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
            targets |= self._soft([part for part in in_order if part is not None])
        return {
            "input_ids": torch.from_numpy(ids_RW),
            "position_ids" if self.is_packed else "attention_mask": torch.from_numpy(
                inside_RW if self.is_packed else mask_RW
            ),
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
