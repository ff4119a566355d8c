"""The rows that a `collect` section means, wherever they come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Row
from stillhouse.data.collect.stand_ins import stand_ins
from stillhouse.data.columns import select_columns
from stillhouse.data.pairing import Setting, settings_of
from stillhouse.data.probe import SourceFacts, probe_rows, probe_source
from stillhouse.data.pseudonyms import salt_mark
from stillhouse.data.readers import read_rows
from stillhouse.data.rights import NOTHING_HELD, Held
from stillhouse.recipes.collection_plans import load_plan
from stillhouse.recipes.data_steps import PairWith
from stillhouse.recipes.rights import Rights
from stillhouse.recipes.rows import Collect, Source
from stillhouse.stages.holding import Collected, held_for, hold_back, judge, name_rows, salt_of
from stillhouse.store.erasures import Erasures
from stillhouse.tasks.prompts.contexts import settings_of_set
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
        return stand_ins(collection, load_plan(collection.plan, base))
    return read_rows(collect.source, base)


def read_settings(wanted: PairWith, base: Path) -> list[Setting]:
    """The settings that a `pair_with` step names.

    Args:
        wanted: the step.
        base: what a relative path starts from.

    Returns:
        In the order of the set or the file.

    Raises:
        InputError: there is no such set, the file cannot be read, or there are too few of them or
            too many.
    """
    found = _settings(wanted, base)
    if len(found) < wanted.at_least:
        raise InputError(
            f"{wanted.file or wanted.set} holds {len(found)} settings, each prompt needs "
            f"{wanted.at_least}",
            "add settings, or lower at_least of the step pair_with",
        )
    return found


def _settings(wanted: PairWith, base: Path) -> list[Setting]:
    if wanted.file is None:
        return settings_of_set(wanted.set or "", "prepare.steps: pair_with")
    rows = islice(read_rows(Source(file=wanted.file), base), _MOST_SETTINGS + 1)
    found = settings_of([row.fields for row in rows], wanted.file)
    if len(found) > _MOST_SETTINGS:
        raise InputError(
            f"{wanted.file} holds more than {_MOST_SETTINGS:,} settings",
            "they are part of the plan: pair with fewer, or collect the pairs as rows",
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
        seen = probe_rows(stand_ins(collection, plan), collect.columns, collect.limit)
        most = min(plan.most_songs, collect.limit or plan.most_songs)
        return replace(seen, num_rows=most, is_exact=False)
    return probe_source(collect.source, collect.columns, base, collect.limit)


def collect_rows(
    collect: Collect, base: Path, held: Held = NOTHING_HELD, most: int | None = None
) -> Collected:
    """The rows that may be used, with the kept columns.

    Args:
        collect: the recipe's section.
        base: what a relative path starts from.
        held: what is held back beside what the section says.
        most: read at most that many.

    Returns:
        Rows, what became of the others, and what is known of each.

    Raises:
        InputError: they cannot be read as the recipe says, or none may be used.
    """
    whole = islice(iterate_rows(_without_columns(collect), base), most)
    return choose_rows(whole, collect, base, held)


def choose_rows(rows: Iterable[Row], collect: Collect, base: Path, held: Held) -> Collected:
    """Those of rows that were read that may be used, with the kept columns."""
    found = hold_back(rows, collect, held, salt_of(collect.rights, base))
    return replace(found, rows=[select_columns(row, collect.columns) for row in found.rows])


@dataclass(frozen=True, slots=True)
class Probed:
    """A look at the rows before a run, and what is held back of them.

    Attributes:
        facts: of the rows that may be used.
        held: beside what the recipe says.
        plan: the same as it enters the plan; empty where nothing is asked of the rows.
    """

    facts: SourceFacts
    held: Held = NOTHING_HELD
    plan: dict[str, Any] = field(default_factory=dict)


def probe_held(collect: Collect, base: Path, erasures: Erasures) -> Probed:
    """A look at the rows that may be used.

    Args:
        collect: the recipe's section.
        base: what a relative path starts from.
        erasures: of the runs folder.

    Returns:
        As `probe_collect`, and what is held back.

    Raises:
        InputError: they cannot be read as the recipe says, or none may be used.
        UsageError: the salt of ids is not set.
    """
    if collect.rights == Rights() and not collect.log and not erasures.entries:
        return Probed(probe_collect(collect, base))
    facts = probe_collect(_without_columns(collect), base)
    salt = salt_of(collect.rights, base)
    is_whole = facts.is_exact and len(facts.rows) == facts.num_rows
    named = name_rows(facts.rows, collect, salt)
    held = held_for(named.rows, collect, erasures, is_whole=is_whole)
    rows = tuple(select_columns(row, collect.columns) for row in judge(named, collect, held).rows)
    kept = replace(
        facts,
        rows=rows,
        num_rows=round(facts.num_rows * len(rows) / max(1, len(facts.rows))),
        is_exact=is_whole,
    )
    told = {name: value for name, value in asdict(held).items() if value}
    return Probed(kept, held, told | ({"ids": salt_mark(salt)} if salt else {}))


def _without_columns(collect: Collect) -> Collect:
    return collect.model_copy(update={"columns": {}})
