"""The rows that tasks generate themselves, by the task's name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Row
from stillhouse.data.nearest import did_you_mean
from stillhouse.recipes.rows import SampleRows
from stillhouse.tasks.accounting import rows as accounting
from stillhouse.tasks.neurons import rows as neurons
from stillhouse.tasks.prompts import rows as prompts
from stillhouse.tasks.songs import rows as songs
from stillhouse.tasks.tickets import rows as tickets

GENERATORS: dict[str, Callable[[int, int, float], Iterator[Row]]] = {
    "accounting": accounting.generate_rows,
    "neurons": neurons.generate_rows,
    "prompt_seeds": prompts.generate_rows,
    "prompts": prompts.generate_prompts,
    "songs": songs.generate_rows,
    "tickets": tickets.generate_rows,
}
"""Task name to a function of (rows, seed, noise)."""


def sample_rows(wanted: SampleRows) -> Iterator[Row]:
    """The rows that a recipe's `collect.source.sample_rows` asks for.

    Args:
        wanted: task, number of rows, seed and noise.

    Returns:
        An iterator of rows, the same for the same arguments.

    Raises:
        InputError: no task of that name generates rows.
    """
    if wanted.task not in GENERATORS:
        raise InputError(
            f'collect.source.sample_rows.task is "{wanted.task}"'
            f"{did_you_mean(wanted.task, GENERATORS)}",
            f"tasks with sample rows: {', '.join(GENERATORS)}",
        )
    return GENERATORS[wanted.task](wanted.rows, wanted.seed, wanted.noise)
