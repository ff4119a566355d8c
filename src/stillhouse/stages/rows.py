"""The rows that a `collect` section means, wherever they come from."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from stillhouse.core.rows import Row
from stillhouse.data.columns import select_columns
from stillhouse.data.probe import SourceFacts, probe_rows, probe_source
from stillhouse.data.readers import read_rows
from stillhouse.recipes.rows import Collect
from stillhouse.tasks.sample_rows import sample_rows


def iterate_rows(collect: Collect, base: Path) -> Iterator[Row]:
    """Rows with the kept columns, at most `collect.limit`."""
    made = collect.source.sample_rows
    rows = sample_rows(made) if made else read_rows(collect.source, base)
    for row in islice(rows, collect.limit):
        yield select_columns(row, collect.columns)


def probe_collect(collect: Collect, base: Path) -> SourceFacts:
    """A look at the rows before a run.

    Args:
        collect: the recipe's section.
        base: what a relative path starts from.

    Returns:
        Counts, rows and the digest of the content.

    Raises:
        InputError: they cannot be read as the recipe says.
    """
    made = collect.source.sample_rows
    if made:
        return probe_rows(sample_rows(made), collect.columns, collect.limit)
    return probe_source(collect.source, collect.columns, base, collect.limit)
