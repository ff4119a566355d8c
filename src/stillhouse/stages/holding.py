"""What is held back of the rows that a `collect` section reads, and with which salt ids are hashed.

Nothing here is kept: what ends is written without its fields.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Ended, Row, StepCount
from stillhouse.data.account import run_step
from stillhouse.data.nearest import did_you_mean, some_of
from stillhouse.data.paths import MISSING, find, paths_of
from stillhouse.data.production_log import LogStep
from stillhouse.data.pseudonyms import hash_ids, require_salt
from stillhouse.data.readers import source_name
from stillhouse.data.rights import (
    NOTHING_HELD,
    Held,
    RightsStep,
    RowRights,
    day_of,
    rights_of,
)
from stillhouse.engines.keys import find_keys
from stillhouse.recipes.rights import Rights
from stillhouse.recipes.rows import Collect
from stillhouse.store.erasures import SOURCE, SUBJECT, Erasures

RIGHTS = "rights.parquet"
"""Beside the rows: where each came from, under which licence, with whose consent."""

_FIELDS = ("licence_field", "consent_field", "subject_field", "source_field", "date_field")


@dataclass(frozen=True, slots=True)
class Collected:
    """What is left of rows that were read.

    Attributes:
        rows: that may be used, their fields as they were read, ids hashed.
        ended: the others, without fields.
        counts: of each step; none where nothing is asked of the rows.
        rights: of `rows`; none where nothing is asked of them.
    """

    rows: list[Row]
    ended: list[Ended] = field(default_factory=list)
    counts: list[StepCount] = field(default_factory=list)
    rights: list[RowRights] = field(default_factory=list)


def asks_of_rows(collect: Collect, held: Held = NOTHING_HELD) -> bool:
    """Whether anything is asked of the rows, so that some may be held back."""
    return bool(collect.log) or collect.rights != Rights() or bool(held.erased)


def hold_back(
    rows: Iterable[Row], collect: Collect, held: Held = NOTHING_HELD, salt: str = ""
) -> Collected:
    """What may be used of rows.

    Args:
        rows: as they were read, before columns are chosen.
        collect: the recipe's section.
        held: what is held back beside what it says.
        salt: for ids, where the section names some.

    Returns:
        The rows, what became of the others, and what is known of each.

    Raises:
        InputError: no row is left, or an id that is to be hashed is in none.
    """
    return judge(name_rows(rows, collect, salt), collect, held)


def name_rows(rows: Iterable[Row], collect: Collect, salt: str) -> Collected:
    """The rows that are meant at all, ids hashed; nothing is asked of them yet."""
    found = Collected(list(rows))
    if collect.log:
        kept, ended, count = run_step(LogStep(collect.log), found.rows)
        found = Collected(kept, ended, [count])
    if collect.rights.hash_fields:
        named = list(hash_ids(found.rows, collect.rights.hash_fields, salt))
        found = replace(found, rows=named)
    _require_fields(found.rows, collect.rights)
    return found


def _require_fields(rows: Sequence[Row], rights: Rights) -> None:
    """Refuse a field that no row has: nobody would be found by it, and nothing held back."""
    for key in _FIELDS:
        path = getattr(rights, key)
        if rows and path and all(find(row.fields, path) is MISSING for row in rows):
            there = dict.fromkeys(one for row in rows[:20] for one in paths_of(row.fields))
            raise InputError(
                f"collect.rights.{key} names {path!r}, which no row has{did_you_mean(path, there)}",
                f"they have: {some_of(there)}",
            )


def judge(named: Collected, collect: Collect, held: Held) -> Collected:
    """Those of named rows that may be used; raises `InputError` where none may."""
    rights, source = collect.rights, origin_of(collect)
    if rights == Rights() and not held.erased:
        return _checked(named)
    kept, ended, count = run_step(RightsStep(rights, source, held), named.rows)
    known = [rights_of(row, rights, source) for row in kept]
    return _checked(Collected(kept, [*named.ended, *ended], [*named.counts, count], known))


def _checked(found: Collected) -> Collected:
    if found.rows or not found.ended:
        return found
    why = Counter(one.reason for one in found.ended)
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in why.most_common())
    raise InputError(
        f"none of {len(found.ended):,} rows may be used: {reasons}",
        "look at collect.rights and collect.log; collect.rights.let_through names what is not "
        "held back all the same",
    )


def origin_of(collect: Collect) -> str:
    """The name of the source, by which `stillhouse erase --source` finds its rows."""
    made = collect.source.sample_rows
    if made:
        return made.task
    return "collection" if collect.source.collection else source_name(collect.source)


def salt_of(rights: Rights, base: Path) -> str:
    """The salt of a recipe's ids; empty where it hashes none.

    Args:
        rights: of the recipe.
        base: the recipe's folder, where a `.env` file may lie.

    Returns:
        The salt, never to be written.

    Raises:
        UsageError: it is not set, or is too short.
    """
    if not rights.salt_env:
        return ""
    secret = find_keys([rights.salt_env], base)[0].secret
    assert secret is not None
    return require_salt(secret.reveal(), rights.salt_env)


def held_for(rows: Sequence[Row], collect: Collect, erasures: Erasures, *, is_whole: bool) -> Held:
    """What is held back of these rows beside what the section says, today.

    An erasure or a day that meets none of the rows is left out, so that it undoes no work.

    Args:
        rows: that were looked at, ids hashed.
        collect: the recipe's section.
        erasures: of the runs folder.
        is_whole: they are all rows there are.

    Returns:
        What enters the plan.
    """
    rights, source = collect.rights, origin_of(collect)
    known = [rights_of(row, rights, source) for row in rows]
    everything = Held(tuple(erasures.names), erasures.salt)
    step = RightsStep(rights, source, everything)
    if is_whole:
        meets = {
            (kind, name)
            for one in known
            if step.is_erased(one)
            for kind, name in erasures.names_of({SOURCE: one.source, SUBJECT: one.subject})
        }
    else:
        meets = {
            (kind, name)
            for kind, name in erasures.names
            if kind == SOURCE or rights.subject_field is not None
        }
    return Held(
        erased=tuple(sorted(meets)),
        salt=erasures.salt if meets else "",
        last_expired=_last_expired(rows, rights, is_whole=is_whole),
    )


def _last_expired(rows: Sequence[Row], rights: Rights, *, is_whole: bool) -> str:
    if not rights.keep_days:
        return ""
    now = datetime.datetime.now(datetime.UTC).date()
    limit = (now - datetime.timedelta(days=rights.keep_days + 1)).isoformat()
    if not is_whole:
        return limit
    return max((day for row in rows if (day := day_of(row, rights)) and day <= limit), default="")


def rights_summary(collect: Collect, found: Collected) -> dict[str, Any]:
    """What a run says of the rights in its rows, for its report and its model card.

    Args:
        collect: the recipe's section.
        found: what was collected.

    Returns:
        `licences`, each with its rows, and `warnings`; nothing where nothing is asked of the rows.
    """
    if collect.rights == Rights():
        return {}
    notes: Counter[str] = Counter()
    for count in found.counts:
        notes.update(count.notes)
    said = Counter(one.licence or "none is said" for one in found.rights)
    warnings = [
        f"{number:,} rows were let through: {note.removeprefix('let through: ')}"
        for note, number in sorted(notes.items())
    ]
    return {"licences": dict(sorted(said.items())), "warnings": warnings}


def licences_in_words(manifest: Mapping[str, Any]) -> str:
    """Under which licences the rows of a finished `collect` are, for people."""
    said: dict[str, int] = manifest["summary"].get("licences", {})
    if said:
        return ", ".join(f"{name} ({number:,} rows)" for name, number in said.items())
    made = manifest["config"]["collect"]["source"].get("sample_rows")
    return f"made by Stillhouse ({made['task']})" if made else "not stated"
