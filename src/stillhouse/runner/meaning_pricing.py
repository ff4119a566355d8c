"""What it costs to compare rows by their meaning, before it is done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stillhouse.recipes.estimate import Cost
from stillhouse.recipes.meaning_steps import COMPARING
from stillhouse.recipes.plan import Instance

_START_S, _LIBRARY_BYTES = 6.0, 700_000_000
"""measured: importing torch and sentence-transformers, two cores of an AMD EPYC."""
_SECONDS_A_BYTE_AND_TEXT = 1.5e-11
"""measured: 750 texts of ten words a second with weights of 91 MB, one core, bfloat16."""
_SECONDS_A_PAIR = 2.5e-8
"""measured: 2.9 s for the neighbours of 10,700 texts, one core."""


def with_comparisons(cost: Cost, instance: Instance, rows: int, locations: dict[str, str]) -> Cost:
    """The cost of a step with its vectors and comparisons; of other steps as it is.

    Args:
        cost: of reading and writing the rows.
        instance: of the stage `step`.
        rows: that go in.
        locations: where models lie.

    Returns:
        An estimate; of the vectors only where the weights are on this machine.
    """
    step = instance.config.get("step", {})
    seconds = cost.seconds
    memory = cost.memory_bytes
    if step.get("name") in COMPARING:
        seconds += rows**2 * _SECONDS_A_PAIR
    if "machine" in instance.config:
        folder = Path(locations.get(f"encoder {step['by']['path']}", ""))
        weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        seconds += _START_S + rows * weights * _SECONDS_A_BYTE_AND_TEXT
        memory += _LIBRARY_BYTES + 2 * weights
    return replace(cost, seconds=seconds, memory_bytes=memory)
