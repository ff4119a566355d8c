"""The price of a student with domains: trainings one after the other on one base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stillhouse.recipes.estimate import Cost, together


def domains_cost(costs: Sequence[Cost], num_kept: int) -> Cost:
    """What the adapters of all domains cost.

    Args:
        costs: of each domain's training by itself.
        num_kept: of each adapter, kept beside it.

    Returns:
        One base in memory and on the way; finished adapters wait in the scratch folder.
    """
    whole = together(*costs)
    disk = whole.disk_bytes * (1 + num_kept)
    return replace(whole, disk_bytes=disk, scratch_bytes=whole.scratch_bytes + disk)
