"""Batches of calls that lie at a provider for hours: written down so that none is ever lost.

    begin       with the reservations of its calls, in one transaction; nothing was sent
    note_file   its questions are at the provider; it is created from now on, or may be
    note_id     the provider's name of it
    end         every call of it is settled

The reservations of a batch with a file outlive the session that made them, because its answers can
still be fetched and its bill is still to come. The next session that asks the same model for the
same answers, or out of the same budget, takes such a batch over. A batch without a file is let go
of when its session ends, for nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from stillhouse.store.ledger import Bill, Session


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch that has not ended.

    Attributes:
        number: in the journal.
        token: names it in the provider's list before its id is known.
        key_alias: of the key that pays; another account does not see the batch.
        file: the provider's name of its questions; empty before they are there.
        remote: the provider's name of the batch; empty before it is told.
        calls: the call of each key that is not settled yet.
        lines: the key of each line of the file, from 1, settled ones included.
        uppers: the most that each call can cost, nano-dollars.
    """

    number: int
    token: str
    key_alias: str
    file: str
    remote: str
    calls: Mapping[str, int]
    lines: Mapping[int, str]
    uppers: Mapping[str, int]


def begin_batch(
    c: sqlite3.Connection, session: Session, place: str, token: str, calls: Sequence[int]
) -> OpenBatch:
    """A batch of calls that were reserved in the same transaction; a write of the journal.

    Args:
        c: the journal's connection.
        session: that reserved them.
        place: provider, model and address; batches of one place are read and priced alike.
        token: never used before.
        calls: in the order of the lines; one key pays for all.

    Returns:
        The batch.
    """
    alias = c.execute("SELECT key_alias FROM calls WHERE id = ?", (calls[0],)).fetchone()[0]
    made = c.execute(
        "INSERT INTO batches(session, place, token, key_alias) VALUES(?, ?, ?, ?)",
        (session.id, place, token, alias),
    )
    number = int(made.lastrowid or 0)
    c.executemany(
        "INSERT INTO batch_calls(call, batch, line) VALUES(?, ?, ?)",
        [(call, number, line) for line, call in enumerate(calls, 1)],
    )
    return _read(c, number)


def note_file(c: sqlite3.Connection, number: int, file: str, key_alias: str) -> OpenBatch:
    """The batch with the provider's name of its questions; a write of the journal.

    Args:
        c: the journal's connection.
        number: of the batch.
        file: the provider's name.
        key_alias: of the key that sent it, whose account sees the batch.

    Returns:
        As it is now.
    """
    c.execute("UPDATE batches SET file = ?, key_alias = ? WHERE id = ?", (file, key_alias, number))
    return _read(c, number)


def note_id(c: sqlite3.Connection, number: int, remote: str) -> OpenBatch:
    """The batch with the provider's name of it; a write of the journal."""
    c.execute("UPDATE batches SET remote = ? WHERE id = ?", (remote, number))
    return _read(c, number)


def end_batch(c: sqlite3.Connection, session: Session, batch: OpenBatch, bill: Bill) -> None:
    """End a batch; a write of the journal.

    Args:
        c: the journal's connection.
        session: that settles.
        batch: with its calls; those that are settled already stay as they are.
        bill: of the calls that are not settled.
    """
    for call in batch.calls.values():
        session.settle(c, call, bill)
    c.execute("UPDATE batches SET ended = 1 WHERE id = ?", (batch.number,))


def take_over(
    c: sqlite3.Connection,
    session: Session,
    place: str,
    keys: AbstractSet[str],
    followed: AbstractSet[int] = frozenset(),
) -> list[OpenBatch]:
    """Batches that nobody follows, taken over by the caller; a write of the journal.

    Args:
        c: the journal's connection.
        session: that follows them.
        place: as in `begin_batch`.
        keys: of the answers that are wanted.
        followed: numbers of batches that the caller follows already.

    Returns:
        Those that hold a wanted answer or money of the session's budget, in the order of their
        making. A batch of a process that still runs stays with it.
    """
    rows = c.execute(
        "SELECT batches.id FROM batches JOIN sessions ON sessions.id = session"
        " WHERE place = ? AND file <> '' AND NOT ended AND (state = 'ended' OR session = ?)"
        " ORDER BY batches.id",
        (place, session.id),
    ).fetchall()
    found = [_read(c, number) for (number,) in rows if number not in followed]
    ours = [
        one for one in found if _budget_of(c, one) == session.budget.name or keys & one.calls.keys()
    ]
    c.executemany(
        "UPDATE batches SET session = ? WHERE id = ?", [(session.id, one.number) for one in ours]
    )
    return ours


def _budget_of(c: sqlite3.Connection, batch: OpenBatch) -> str:
    query = "SELECT budget FROM batch_calls JOIN calls ON calls.id = call WHERE batch = ?"
    return str(c.execute(query, (batch.number,)).fetchone()[0])


def _read(c: sqlite3.Connection, number: int) -> OpenBatch:
    token, alias, file, remote = c.execute(
        "SELECT token, key_alias, file, remote FROM batches WHERE id = ?", (number,)
    ).fetchone()
    rows = c.execute(
        "SELECT line, request, calls.id, upper_nano_usd, state FROM batch_calls"
        " JOIN calls ON calls.id = call WHERE batch = ? ORDER BY line",
        (number,),
    ).fetchall()
    return OpenBatch(
        number,
        token,
        alias,
        file,
        remote,
        calls={key: call for _, key, call, _, state in rows if state == "reserved"},
        lines={line: key for line, key, *_ in rows},
        uppers={key: upper for _, key, _, upper, _ in rows},
    )
