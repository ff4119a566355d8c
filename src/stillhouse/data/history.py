"""What every step did to one row: as it was written down, or the step done again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.core.rows import Drop, Emit, Ended, Keep, Merge, Outcome, Row
from stillhouse.data.drafts import Draft
from stillhouse.data.execution import ENDED
from stillhouse.data.shards import read_shards, shard_paths
from stillhouse.data.storage import read_ended

_SHORT = 24
"""assumption: characters of a word that a step writes about a row, as of what matched it."""


@dataclass(frozen=True, slots=True)
class StepAccount:
    """What one step did to a row or to what was made of it.

    Attributes:
        step: the step's name.
        row_id: of the row that went in.
        outcome: `kept`, `changed`, `made`, `dropped`, `merged` or `deferred`.
        detail: what was changed or made, or why it was dropped.
    """

    step: str
    row_id: str
    outcome: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """One row on its way through the steps.

    Attributes:
        row: as it was collected.
        accounts: in the order of the steps.
        descendants: ids of what was made of it, itself included while it lasts.
    """

    row: Row
    accounts: tuple[StepAccount, ...]
    descendants: tuple[str, ...]


Account = Callable[[Sequence[Row]], Sequence[Outcome]]
"""What a step did to rows: its own `process`, or what it wrote down, see `stored_outcomes`."""


def trace_row(
    rows: Sequence[Row], steps: Sequence[tuple[str, Account]], row_id: str
) -> History | None:
    """The history of a row.

    Args:
        rows: all collected rows; a step may look at all of them.
        steps: names and accounts, in order.
        row_id: of a collected row, or of one that a step made of it.

    Returns:
        Every step's outcome up to the last, those of rows that were merged into it among them;
        None where there is no such row.
    """
    origin = {row.row_id: row.row_id for row in rows}
    seen: list[tuple[str, Outcome]] = []
    current = list(rows)
    for name, account in steps:
        outcomes = account(current) if current else []
        current = []
        for outcome in outcomes:
            made = _rows_after(outcome)
            origin |= {row.row_id: origin[outcome.row.row_id] for row in made}
            current += made
        seen += [(name, outcome) for outcome in outcomes]
    if row_id not in origin:
        return None
    root = origin[row_id]
    inputs = {row.row_id: row for row in rows}
    accounts = []
    for name, outcome in seen:
        stands_for_it = isinstance(outcome, Merge) and origin.get(outcome.into) == root
        if origin[outcome.row.row_id] == root or stands_for_it:
            before = inputs[outcome.row.row_id]
            accounts.append(_account(name, before, outcome))
        inputs |= {row.row_id: row for row in _rows_after(outcome)}
    alive = tuple(row.row_id for row in current if origin[row.row_id] == root)
    return History({row.row_id: row for row in rows}[root], tuple(accounts), alive)


def stored_outcomes(folder: Path, before: Sequence[Row]) -> list[Outcome]:
    """What a step wrote down of the rows that went in.

    Args:
        folder: of its shards.
        before: the rows that went in.

    Returns:
        One outcome a row, in no order.
    """
    known = {row.row_id: row for row in before}
    made: dict[str, list[Row]] = {}
    found: list[Outcome] = []
    for row in read_shards(folder):
        parents = (row.row_id, *row.parent_ids)
        parent = next((name for name in parents if name in known), "")
        if parent:
            made.setdefault(parent, []).append(row)
    for parent, rows in made.items():
        is_kept = len(rows) == 1 and rows[0].row_id == parent
        found.append(Keep(rows[0]) if is_kept else Emit(known[parent], tuple(rows)))
    for path in shard_paths(folder / ENDED):
        found += read_ended(path)
    return found


def _rows_after(outcome: Outcome) -> list[Row]:
    if isinstance(outcome, Ended):
        return []
    return list(outcome.rows) if isinstance(outcome, Emit) else [outcome.row]


def _account(step: str, before: Row, outcome: Outcome) -> StepAccount:
    row_id = outcome.row.row_id
    if isinstance(outcome, Ended):
        return ended_account(step, outcome)
    if isinstance(outcome, Emit):
        names = ", ".join(row.row_id for row in outcome.rows)
        return StepAccount(step, row_id, "made", f"{len(outcome.rows)} rows: {names}")
    changed = _changes(before, outcome.row)
    return StepAccount(step, row_id, "changed" if changed else "kept", changed)


def ended_account(step: str, outcome: Ended) -> StepAccount:
    """What a step did to a row that it ended."""
    row_id = outcome.row.row_id
    if isinstance(outcome, Merge):
        return StepAccount(step, row_id, "merged", f"into {outcome.into}")
    how = "dropped" if isinstance(outcome, Drop) else "deferred"
    why = f"{outcome.reason}{f' ({outcome.evidence})' if outcome.evidence else ''}"
    return StepAccount(step, row_id, how, why)


def _told(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """A changed column by its name, with its value where that is a number or a new short word."""
    value = after.get(name)
    is_word = name not in before and isinstance(value, str) and len(value) <= _SHORT
    return f"{name} = {value}" if is_word or isinstance(value, int | float) else name


def _changes(before: Row, after: Row) -> str:
    """What is another in a row, in words; empty where nothing is."""
    names = dict.fromkeys([*before.fields, *after.fields])
    fields = [name for name in names if before.fields.get(name) != after.fields.get(name)]
    told = [_told(name, before.fields, after.fields) for name in fields]
    said = [f"columns {', '.join(told)}"] if fields else []
    if isinstance(after, Draft):
        if not isinstance(before, Draft):
            said.append("prompt and answer made")
        elif (before.prompt, before.answer) != (after.prompt, after.answer):
            said.append("prompt or answer")
        if after.part and after.part != getattr(before, "part", ""):
            said.append(f"dealt to the part {after.part}")
    return ", ".join(said)
