"""The price of a student with domains: trainings one after the other on one base."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from stillhouse.recipes.estimate import Cost, together
from stillhouse.recipes.schema import Recipe


def domains_cost(costs: Sequence[Cost], recipe: Recipe) -> Cost:
    """What the adapters of all domains cost.

    Args:
        costs: of each domain's training by itself.
        recipe: whose section train says whether checkpoints are kept beside each adapter.

    Returns:
        One base in memory and on the way; finished adapters wait in the scratch folder.
    """
    whole = together(*costs)
    disk = sum(one.disk_bytes + _kept_bytes(one, recipe) for one in costs)
    return replace(whole, disk_bytes=disk, scratch_bytes=whole.scratch_bytes + disk)


def _kept_bytes(cost: Cost, recipe: Recipe) -> int:
    """Of the adapter as it was at each checkpoint; the last step has one too."""
    training = recipe.train
    if not training.length.checkpoint_every:
        return 0
    return 4 * cost.trainable_parameters * math.ceil(cost.steps / training.saved_every(cost.steps))
