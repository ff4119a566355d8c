"""Bytes of an optimizer's state, in closed form from the shapes of what it trains; no torch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from stillhouse.recipes.training import Galore, Optimizer

FLOAT_BYTES = 4
SMALLEST_8BIT = 4096
"""Numbers of a parameter; bitsandbytes keeps the moments of smaller ones in 32 bits."""

_BLOCK = 256
"""Numbers that share one scale; paper: Dettmers et al. 2022, arXiv:2110.02861, section 2.1, with
the block size of bitsandbytes."""

_CODE_BYTES = 2 * 256 * FLOAT_BYTES
"""What the 256 codes of a first and of a second moment stand for, held once."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What an optimizer moves.

    Attributes:
        matrices: (rows, columns) of each linear layer that GaLore projects; empty without it.
        embeddings: numbers of each embedding, which 8-bit AdamW keeps in 32 bits.
        others: numbers of each other parameter.
    """

    matrices: tuple[tuple[int, int], ...] = ()
    embeddings: tuple[int, ...] = ()
    others: tuple[int, ...] = ()


def state_bytes(optimizer: Optimizer, trained: Trained) -> int:
    """Bytes of the whole state after a step, in closed form.

    AdamW holds two moments. GaLore holds, for a matrix whose sides are s <= l, r (s + 2 l) numbers:
    an s x r basis, and two moments of r x l, where r is at most s. Every parameter has a count of
    its steps beside them.

    Args:
        optimizer: the recipe's section.
        trained: the parameters.

    Returns:
        Bytes, without gradients, which are no state.

    Source: Zhao et al. 2024, arXiv:2403.03507, table 1; Dettmers et al. 2022, arXiv:2110.02861.
    """
    plain = (*trained.embeddings, *trained.others)
    if optimizer.name == "adamw_8bit":
        return _in_8_bits(trained)
    if optimizer.name == "galore_adamw":
        galore = optimizer.galore or Galore()
        return galore_bytes(trained, galore_rank(galore, trained))
    return sum(map(_plain_bytes, plain))


def galore_rank(galore: Galore, trained: Trained) -> int:
    """The rank of the projection: the largest that the recipe allows and whose state fits.

    Args:
        galore: the recipe's section.
        trained: the parameters.

    Returns:
        At most the largest of the matrices' smaller sides; 0 where even rank 1 does not fit.
    """
    widest = max((min(shape) for shape in trained.matrices), default=0)
    most = widest if galore.rank == "auto" else min(galore.rank, widest)
    if galore.memory_gb is None:
        return most
    ranks = range(1, most + 1)
    budget = round(galore.memory_gb * 1e9)
    return bisect_right(ranks, budget, key=lambda rank: galore_bytes(trained, rank))


def galore_bytes(trained: Trained, rank: int) -> int:
    """Bytes of GaLore's state at a rank, plain AdamW on the rest included.

    Args:
        trained: the parameters.
        rank: of the projection; clipped to the smaller side of each matrix.

    Returns:
        Bytes after a step.
    """
    projected = sum(
        FLOAT_BYTES * (min(rank, *shape) * (min(shape) + 2 * max(shape)) + 1)
        for shape in trained.matrices
    )
    return projected + sum(map(_plain_bytes, (*trained.embeddings, *trained.others)))


def _plain_bytes(numbers: int) -> int:
    """Two moments, and the count of steps."""
    return FLOAT_BYTES * (2 * numbers + 1)


def _in_8_bits(trained: Trained) -> int:
    """Without the counts of steps, which bitsandbytes keeps outside of tensors."""
    narrow = [numbers for numbers in trained.others if numbers >= SMALLEST_8BIT]
    wide = sum(trained.embeddings) + sum(trained.others) - sum(narrow)
    held = 2 * FLOAT_BYTES * wide + sum(map(_blockwise_bytes, narrow))
    return held + (_CODE_BYTES if narrow else 0)


def _blockwise_bytes(numbers: int) -> int:
    return 2 * (numbers + FLOAT_BYTES * -(-numbers // _BLOCK))


def clipped(matrices: Iterable[tuple[int, int]], rank: int) -> int:
    """How many matrices are too small for a rank and keep their own."""
    return sum(min(shape) < rank for shape in matrices)
