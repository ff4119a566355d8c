"""What a stage opens to ask remote models: its budget, its journal of calls, the limits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stillhouse.store.journal import Journal
from stillhouse.store.ledger import Budget, Session
from stillhouse.store.slots import SlotTable

ACCOUNT = "account"
"""The folder of it below a root of runs."""
JOURNAL, SLOTS = "calls.sqlite", "limits.sqlite"


@dataclass(frozen=True, slots=True)
class Account:
    """Open together, closed together.

    Attributes:
        session: the stage's hold on the ledger.
        slots: the table of limits, shared by all processes that use the folder.
    """

    session: Session
    slots: SlotTable


@contextmanager
def open_account(folder: Path, budget: Budget, run: str, stage: str) -> Iterator[Account]:
    """The account in a folder, while the block runs.

    Args:
        folder: one for all runs, so that a budget and the limits hold over all of them.
        budget: the caps.
        run: the run's name.
        stage: such as `label`.

    Yields:
        The account; what killed processes held is settled by then.
    """
    journal = Journal(folder / JOURNAL)
    try:
        slots = SlotTable(folder / SLOTS)
        try:
            session = Session(journal, budget, run, stage)
            try:
                yield Account(session, slots)
            finally:
                session.close()
        finally:
            slots.close()
    finally:
        journal.close()
