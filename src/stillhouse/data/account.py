"""Every row that goes into a step comes out, or ends with a reason, or the run fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from stillhouse.core.errors import AccountingError
from stillhouse.core.rows import Drop, Emit, Outcome, Row, StepCount


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
        """`map` looks at one row at a time, `expand` makes several of one, `global` needs all."""

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """One outcome per row, in the order of the rows."""


def run_step(step: Step, rows: Sequence[Row]) -> tuple[list[Row], list[Drop], StepCount]:
    """What a step keeps and drops, counted.

    Args:
        step: any step.
        rows: all rows.

    Returns:
        (rows that go on, in order; drops, in order; the count).

    Raises:
        AccountingError: a row has no outcome, or an outcome has no row.
    """
    outcomes = step.process(rows)
    _check_one_outcome_a_row(step.name, rows, outcomes)
    kept: list[Row] = []
    dropped: list[Drop] = []
    changed = emitted = 0
    for row, outcome in zip(rows, outcomes, strict=True):
        if isinstance(outcome, Drop):
            dropped.append(outcome)
        elif isinstance(outcome, Emit):
            _check_emitted(step.name, outcome)
            kept += outcome.rows
            emitted += len(outcome.rows) - 1
        else:
            kept.append(outcome.row)
            changed += outcome.row.fields != row.fields
    reasons = dict(sorted(Counter(drop.reason for drop in dropped).items()))
    count = StepCount(step.name, len(rows), len(kept), reasons, changed, emitted)
    return kept, dropped, count


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
        num_dropped = sum(count.dropped.values())
        if count.rows_in != expected:
            raise AccountingError(
                f"step {count.step}: {expected} rows came from before, it counted {count.rows_in}"
            )
        if count.rows_in + count.emitted != count.rows_out + num_dropped:
            raise AccountingError(
                f"step {count.step}: {count.rows_in} rows in and {count.emitted} emitted, but "
                f"{count.rows_out} out and {num_dropped} dropped"
            )
        expected = count.rows_out
    if expected != rows_out:
        raise AccountingError(f"{expected} rows left the last step, {rows_out} were handed on")
