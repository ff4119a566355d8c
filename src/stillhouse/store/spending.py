"""What was spent, read from a journal: per stage, per accepted example, per budget."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.store.journal import connect

NANO = Decimal(10) ** 9
"""Nano-dollars in a dollar."""


@dataclass(frozen=True, slots=True)
class StageSpending:
    """What one stage of one run cost.

    Attributes:
        run: the run's name.
        stage: such as `label`.
        requests: rows of the ledger, refused ones included.
        paid_usd: told by providers.
        unknown_usd: upper prices of calls whose bill nobody knows, `assumed` ones included.
        tokens: prompt and completion tokens of told usage.
        accepted: answers that became part of the data.
        refused: requests that cost nothing.
    """

    run: str
    stage: str
    requests: int
    paid_usd: Decimal
    unknown_usd: Decimal
    tokens: int
    accepted: int
    refused: int

    @property
    def spent_usd(self) -> Decimal:
        """Everything that counts against the budget."""
        return self.paid_usd + self.unknown_usd

    @property
    def usd_per_accepted(self) -> Decimal | None:
        """Money per answer that became part of the data; None before the first."""
        return self.spent_usd / self.accepted if self.accepted else None


@dataclass(frozen=True, slots=True)
class BudgetSpending:
    """One budget: its caps, None for none, and what is gone."""

    name: str
    cap_usd: Decimal | None
    cap_tokens: int | None
    spent_usd: Decimal
    held_usd: Decimal
    spent_tokens: int

    @property
    def left_usd(self) -> Decimal | None:
        """Money that may still be spent; None without a cap."""
        return None if self.cap_usd is None else self.cap_usd - self.spent_usd - self.held_usd


def spending_by_stage(path: Path) -> list[StageSpending]:
    """What each stage of each run cost, in the order of their first call.

    Args:
        path: a journal of calls.

    Returns:
        One entry a run and stage.

    Raises:
        InputError: there is no such file.
    """
    rows = _read(
        path,
        "SELECT s.run, s.stage, count(*),"
        " sum(CASE WHEN state = 'paid' THEN nano_usd ELSE 0 END),"
        " sum(CASE WHEN state IN ('assumed', 'unknown') THEN nano_usd ELSE 0 END),"
        " sum(prompt_tokens + completion_tokens), sum(coalesce(accepted, 0)),"
        " sum(state = 'free')"
        " FROM (SELECT c.*, s.run, s.stage, s.id AS sid FROM calls c JOIN sessions s"
        "       ON s.id = c.session) s GROUP BY s.run, s.stage ORDER BY min(s.id)",
    )
    return [
        StageSpending(run, stage, count, paid / NANO, unknown / NANO, tokens, accepted, free)
        for run, stage, count, paid, unknown, tokens, accepted, free in rows
    ]


def spending_by_budget(path: Path) -> list[BudgetSpending]:
    """Every budget with its caps, by name.

    Args:
        path: a journal of calls.

    Returns:
        One entry a budget.

    Raises:
        InputError: there is no such file.
    """
    rows = _read(
        path,
        "SELECT name, cap_nano_usd, cap_tokens, spent_nano_usd, held_nano_usd, spent_tokens"
        " FROM budgets ORDER BY name",
    )
    return [
        BudgetSpending(
            name, None if cap is None else cap / NANO, tokens, spent / NANO, held / NANO, n
        )
        for name, cap, tokens, spent, held, n in rows
    ]


def budgets_that_do_not_add_up(path: Path) -> list[str]:
    """Names of budgets whose totals differ from the sum of their calls; empty in a sound file.

    Args:
        path: a journal of calls.

    Returns:
        The names; a check for tests and for a file of doubtful history.

    Raises:
        InputError: there is no such file.
    """
    rows = _read(
        path,
        "SELECT b.name FROM budgets b LEFT JOIN calls c ON c.budget = b.name GROUP BY b.name"
        " HAVING b.spent_nano_usd <> coalesce(sum(c.nano_usd), 0)"
        " OR b.held_nano_usd <>"
        "    coalesce(sum(CASE WHEN c.state = 'reserved' THEN c.upper_nano_usd END), 0)",
    )
    return [name for (name,) in rows]


def _read(path: Path, query: str) -> list[tuple[Any, ...]]:
    if not path.is_file():
        raise InputError(f"there is no journal of calls at {path}", "run a stage that asks an API")
    connection = connect(path)
    try:
        return connection.execute(query).fetchall()
    except sqlite3.Error as error:
        raise InputError(f"{path} is no journal of calls: {error}") from error
    finally:
        connection.close()
