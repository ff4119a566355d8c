"""Whether a loss still falls: a plateau as it begins, and the trend of a whole training.

The loss of one step is noisy, so means of `window` steps are compared. A plateau begins where the
last of them lies less than 1 %, or less than two standard errors, below the one before it. It ends
where the last lies 1 % and three standard errors below that with which it began: so neither chance
nor a slow fall passes for long. A plateau is told and never stops a training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Losses = NDArray[np.float64]

LEAST_FALL = 0.01
"""assumption: what falls by less than 1 % a twentieth of a training is told apart by nobody."""
LEAST_WINDOW, WINDOWS = 10, 20
"""assumption: ten steps make a mean; a twentieth of a training is short enough to see it end."""
_BLOCKS, _Z = 10, 1.645
"""Means that the trend is tested on, and the one-sided 5 % point of the normal distribution."""


def window_of(num_steps: int) -> int:
    """Steps that are averaged in a training of that many."""
    return max(LEAST_WINDOW, math.ceil(num_steps / WINDOWS))


class Plateau:
    """Follows a loss step by step.

    Args:
        window: steps that are averaged, >= 2.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.level_since: int | None = None
        self._losses: list[float] = []
        self._began: Losses = np.zeros(0)

    @property
    def num_steps(self) -> int:
        """Losses that it has heard of."""
        return len(self._losses)

    def add(self, loss: float) -> None:
        """Hear the loss of the next step; `level_since` then holds, or is None where it falls."""
        self._losses.append(loss)
        if self.num_steps < 2 * self.window:
            return
        last = np.array(self._losses[-self.window :])
        if self.level_since is None:
            before = np.array(self._losses[-2 * self.window : -self.window])
            if not _has_fallen(before, last, errors=2.0):
                self.level_since, self._began = self.num_steps - self.window, last
        elif _has_fallen(self._began, last, errors=3.0):
            self.level_since = None


def _has_fallen(before: Losses, last: Losses, *, errors: float) -> bool:
    fall = float(before.mean() - last.mean())
    error = math.sqrt((before.var(ddof=1) + last.var(ddof=1)) / len(last))
    return fall >= max(LEAST_FALL * abs(float(before.mean())), errors * error)


def falls(losses: Sequence[float]) -> bool:
    """Whether a loss fell all over a training, by 1 % at least: Mann-Kendall on ten means.

    Args:
        losses: of every step.

    Returns:
        False also where fewer than four blocks leave nothing to be sure of.

    Source: Mann 1945, Econometrica 13(3); Kendall 1975, Rank Correlation Methods.
    """
    blocks = [part.mean() for part in np.array_split(np.asarray(losses), _BLOCKS) if len(part)]
    count = len(blocks)
    if count < 4 or blocks[0] - blocks[-1] < LEAST_FALL * abs(blocks[0]):
        return False
    signs = [
        np.sign(later - block) for at, block in enumerate(blocks) for later in blocks[at + 1 :]
    ]
    deviation = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    return bool((-sum(signs) - 1) / deviation >= _Z)
