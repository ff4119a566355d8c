"""Every row that goes into a step comes out, or ends with a reason, or the run fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Protocol

from stillhouse.core.errors import AccountingError
from stillhouse.core.rows import Defer, Drop, Emit, Ended, Keep, Merge, Outcome, Row, StepCount


class Step(Protocol):
    """One thing that is done to rows."""

    @property
    def name(self) -> str:
        """Stands in the report."""

    @property
    def version(self) -> int:
        """Raised when the same rows would come out differently."""

    @property
    def kind(self) -> str:
        """What it needs to see: see `KINDS`."""

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """One outcome per row, in the order of the rows."""


class GlobalStep(Step, Protocol):
    """A step that must know something of every row before it can judge one.

    It looks at the rows shard by shard, decides once from what it saw, and judges shard by shard;
    what it saw is small beside the rows.
    """

    def look(self, batch: Sequence[Row]) -> Any:
        """What it needs to know of these rows; picklable."""

    def decide(self, looks: Sequence[Any]) -> Any:
        """What follows for all rows, from the looks in the order of the shards; picklable."""

    def settle(self, batch: Sequence[Row], decision: Any) -> list[Outcome]:
        """One outcome per row, in the order of the rows."""


KINDS = {
    "map": "looks at one row at a time",
    "expand": "makes several rows of one",
    "global": "looks at all rows, shard by shard, before it judges one",
    "whole": "needs all rows in memory at once: a step of `prepare` alone",
    "remote": "asks others about each row, in the process that counts what that costs",
}


def run_step(step: Step, rows: Sequence[Row]) -> tuple[list[Row], list[Ended], StepCount]:
    """What a step keeps and ends, counted.

    Args:
        step: any step.
        rows: all rows.

    Returns:
        (rows that go on, in order; those that ended or wait, in order; the count).

    Raises:
        AccountingError: a row has no outcome, an outcome no row, or a row no origin.
    """
    kept, ended, count = account_for(step.name, rows, step.process(rows))
    into = {one.into for one in ended if isinstance(one, Merge)}
    check_names(step.name, [row.row_id for row in kept], into)
    return kept, ended, count


def account_for(
    name: str, rows: Sequence[Row], outcomes: Sequence[Outcome]
) -> tuple[list[Row], list[Ended], StepCount]:
    """As `run_step`, of outcomes that are there already."""
    _check_one_outcome_a_row(name, rows, outcomes)
    kept: list[Row] = []
    ended: list[Ended] = []
    changed = emitted = 0
    notes = Counter[str]()
    for row, outcome in zip(rows, outcomes, strict=True):
        if isinstance(outcome, Emit):
            _check_emitted(name, outcome)
            kept += outcome.rows
            emitted += len(outcome.rows) - 1
        elif isinstance(outcome, Keep):
            _check_origin(name, row, outcome.row)
            kept.append(outcome.row)
            changed += _is_changed(row, outcome.row)
            notes.update(outcome.notes)
        else:
            ended.append(outcome)
    count = replace(
        _count(name, kept, ended),
        rows_in=len(rows),
        changed=changed,
        emitted=emitted,
        notes=dict(sorted(notes.items())),
    )
    return kept, ended, count


def _is_changed(before: Row, after: Row) -> bool:
    return before.fields != {key: after.fields.get(key) for key in before.fields}


def _count(name: str, kept: Sequence[Row], ended: Sequence[Ended]) -> StepCount:
    dropped = Counter(one.reason for one in ended if isinstance(one, Drop))
    deferred = Counter(one.reason for one in ended if isinstance(one, Defer))
    return StepCount(
        step=name,
        rows_in=0,
        rows_out=len(kept),
        dropped=dict(sorted(dropped.items())),
        merged=sum(isinstance(one, Merge) for one in ended),
        deferred=dict(sorted(deferred.items())),
    )


def add_counts(counts: Sequence[StepCount]) -> StepCount:
    """The count of a step over all its shards.

    Args:
        counts: of one step, at least one.

    Returns:
        Their sum.
    """
    dropped, deferred, notes = Counter[str](), Counter[str](), Counter[str]()
    for count in counts:
        dropped.update(count.dropped)
        deferred.update(count.deferred)
        notes.update(count.notes)
    return StepCount(
        step=counts[0].step,
        rows_in=sum(count.rows_in for count in counts),
        rows_out=sum(count.rows_out for count in counts),
        dropped=dict(sorted(dropped.items())),
        changed=sum(count.changed for count in counts),
        emitted=sum(count.emitted for count in counts),
        merged=sum(count.merged for count in counts),
        deferred=dict(sorted(deferred.items())),
        notes=dict(sorted(notes.items())),
    )


def check_names(name: str, kept: Sequence[str], into: Collection[str]) -> None:
    """Raise unless each row that goes on has a name of its own, and the rows merged into go on.

    Args:
        name: of the step.
        kept: ids of all rows that go on.
        into: ids of the rows that others were merged into.

    Raises:
        AccountingError: names the first row at fault.
    """
    known = set(kept)
    if len(known) < len(kept):
        twice, number = Counter(kept).most_common(1)[0]
        raise AccountingError(f"step {name}: the row {twice} goes on {number} times")
    if gone := sorted(set(into) - known):
        raise AccountingError(
            f"step {name}: rows were merged into the row {gone[0]}, which does not go on"
        )


def _check_origin(name: str, row: Row, after: Row) -> None:
    if (after.root_id, after.parent_ids) != (row.root_id, row.parent_ids):
        raise AccountingError(
            f"step {name}: the row {row.row_id} ({row.provenance}) was kept with another origin"
        )


def _check_emitted(name: str, outcome: Emit) -> None:
    row = outcome.row
    root = row.root_id or row.row_id
    is_lost = not outcome.rows or any(not _is_own(row, one, root) for one in outcome.rows)
    if is_lost or len({one.row_id for one in outcome.rows}) < len(outcome.rows):
        raise AccountingError(
            f"step {name}: the row {row.row_id} ({row.provenance}) was made into rows that are "
            "none, not its own, or of one name"
        )


def _is_own(row: Row, made: Row, root: str) -> bool:
    """Whether a row is another itself, or made of it."""
    if made.row_id == row.row_id:
        return (made.root_id, made.parent_ids) == (row.root_id, row.parent_ids)
    return made.root_id == root and row.row_id in made.parent_ids


def _check_one_outcome_a_row(name: str, rows: Sequence[Row], outcomes: Sequence[Outcome]) -> None:
    for row, outcome in zip(rows, outcomes, strict=False):
        if not isinstance(outcome, Outcome) or outcome.row.row_id != row.row_id:
            raise AccountingError(
                f"step {name}: the row {row.row_id} ({row.provenance}) has no outcome"
            )
    if len(outcomes) != len(rows):
        raise AccountingError(
            f"step {name}: {len(rows)} rows went in, {len(outcomes)} outcomes came out"
        )


def check_balance(counts: Sequence[StepCount], rows_in: int, rows_out: int) -> None:
    """Raise unless every step balances, each takes what the one before gave, and so the whole.

    Args:
        counts: one a step, in order.
        rows_in: rows before the first step.
        rows_out: rows after the last.

    Raises:
        AccountingError: the first step that does not balance, with its numbers.
    """
    expected = rows_in
    for count in counts:
        if count.rows_in != expected:
            raise AccountingError(
                f"step {count.step}: {expected} rows came from before, it counted {count.rows_in}"
            )
        if not count.balances:
            raise AccountingError(
                f"step {count.step}: {count.rows_in} rows in and {count.emitted} emitted, but "
                f"{count.rows_out} out, {sum(count.dropped.values())} dropped, {count.merged} "
                f"merged and {sum(count.deferred.values())} deferred"
            )
        expected = count.rows_out
    if expected != rows_out:
        raise AccountingError(f"{expected} rows left the last step, {rows_out} were handed on")
