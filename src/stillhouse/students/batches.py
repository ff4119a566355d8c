"""From encoded examples to padded batches.

Legend: B batch, T token position, N trained tokens of a batch, K kept entries.
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
