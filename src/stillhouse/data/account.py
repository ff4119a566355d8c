"""Every row that goes into a step comes out, or ends with a reason, or the run fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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
    "whole": "needs all rows in memory at once",
    "remote": "asks an engine about rows; done in the one process that keeps the account",
}


def run_step(step: Step, rows: Sequence[Row]) -> tuple[list[Row], list[Ended], StepCount]:
    """What a step keeps and ends, counted.

    Args:
        step: any step.
        rows: all rows.

    Returns:
        (rows that go on, in order; those that ended or wait, in order; the count).

    Raises:
        AccountingError: a row has no outcome, or an outcome has no row.
    """
    return account_for(step.name, rows, step.process(rows))


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
            kept.append(outcome.row)
            changed += outcome.row.fields != row.fields
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


def _check_emitted(name: str, outcome: Emit) -> None:
    row = outcome.row
    is_lost = not outcome.rows or any(row.row_id not in one.parent_ids for one in outcome.rows)
    if is_lost or len({one.row_id for one in outcome.rows}) < len(outcome.rows):
        raise AccountingError(
            f"step {name}: the row {row.row_id} ({row.provenance}) was made into rows that are "
            "none, not its own, or of one name"
        )


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
