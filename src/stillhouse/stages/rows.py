"""The rows that a `collect` section means, wherever they come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Row
from stillhouse.data.collect.stand_ins import stand_ins
from stillhouse.data.columns import select_columns
from stillhouse.data.pairing import Setting, settings_of
from stillhouse.data.probe import SourceFacts, probe_rows, probe_source
from stillhouse.data.readers import read_rows
from stillhouse.recipes.collection_plans import load_plan
from stillhouse.recipes.data_steps import PairWith
from stillhouse.recipes.rows import Collect, Source
from stillhouse.tasks.sample_rows import sample_rows

_MOST_SETTINGS = 1000
"""assumption: their texts stand in the plan and in the manifest of `prepare`."""


def iterate_rows(collect: Collect, base: Path) -> Iterator[Row]:
    """Rows with the kept columns, at most `collect.limit`; stand-ins for a collection."""
    made = collect.source.sample_rows
    rows = sample_rows(made) if made else _read_rows(collect, base)
    for row in islice(rows, collect.limit):
        yield select_columns(row, collect.columns)


def _read_rows(collect: Collect, base: Path) -> Iterator[Row]:
    collection = collect.source.collection
    if collection:
        return stand_ins(load_plan(collection.plan, base))
    return read_rows(collect.source, base)


def read_settings(wanted: PairWith, base: Path) -> list[Setting]:
    """The settings that a `pair_with` step names.

    Args:
        wanted: the step.
        base: what a relative path starts from.

    Returns:
        In the order of the file.

    Raises:
        InputError: the file cannot be read, holds too few of them or too many.
    """
    rows = islice(read_rows(Source(file=wanted.file), base), _MOST_SETTINGS + 1)
    found = settings_of([row.fields for row in rows], wanted.file)
    if len(found) > _MOST_SETTINGS:
        raise InputError(
            f"{wanted.file} holds more than {_MOST_SETTINGS:,} settings",
            "they are part of the plan: pair with fewer, or collect the pairs as rows",
        )
    if len(found) < wanted.at_least:
        raise InputError(
            f"{wanted.file} holds {len(found)} settings, each prompt needs {wanted.at_least}",
            "add settings, or lower at_least of the step pair_with",
        )
    return found


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
    collection = collect.source.collection
    if collection:
        plan = load_plan(collection.plan, base)
        seen = probe_rows(stand_ins(plan), collect.columns, collect.limit)
        most = min(plan.most_songs, collect.limit or plan.most_songs)
        return replace(seen, num_rows=most, is_exact=False)
    return probe_source(collect.source, collect.columns, base, collect.limit)
