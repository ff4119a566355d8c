"""Money and tokens of remote calls: reserve the most a call can cost, ask, settle what it cost.

    spent + held + upper <= cap        or the call is not made

`held` is the sum of the reservations that are not settled yet, so the cap holds with any number
of calls at once, in any number of processes on the file: each reservation is one transaction.
Money is whole nano-dollars (1e-9 USD), never a float.

One row is one request that was, or may have been, sent. Its state ends as

    paid      the provider told the usage, and its price was taken off
    assumed   it answered without telling the usage: the upper price was taken off
    unknown   nobody knows whether it was billed (a reset, a timeout, a killed process): the upper
              price was taken off
    free      it was refused, or never left this machine: nothing was taken off

A reservation that a killed process left is found when the journal is next opened: its session's
lock is free, so it becomes `unknown`. That may count a call that was never sent, and never leaves
one out. Reservations of a batch that may lie at the provider stay: its answers can still be
fetched, by whoever takes the batch over (`store/batches.py`). Rows are ordered by their number,
which only grows; the clock is written beside for people and decides nothing.

If a provider bills more than the upper price (it ignored `max_tokens`), the true price is taken
off all the same and the call's reason says `overrun`: no promise can be kept for a provider that
breaks its own.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal
from uuid import uuid4

from stillhouse.core.errors import UsageError
from stillhouse.store.journal import Journal

State = Literal["paid", "assumed", "unknown", "free"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, as the provider counts them.

    Attributes:
        prompt_tokens: all of the prompt, cached ones included.
        completion_tokens: all that was written, reasoning included.
        cached_tokens: of the prompt's, those billed at the lower price.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Prompt and completion."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent under one name, over all runs that use the name.

    Attributes:
        name: such as the recipe's name.
        cap_nano_usd: the most money; None has no cap.
        cap_tokens: the most tokens; None has no cap.
    """

    name: str
    cap_nano_usd: int | None = None
    cap_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What a reservation is for.

    Attributes:
        key: of the answer in the call cache.
        example_id: the example that asks.
        sample_index: which of several answers to it.
        provider: whose limits and terms apply.
        model: the provider's name of it.
        upper_nano_usd: the most it can cost.
        upper_tokens: the most tokens it can use.
    """

    key: str
    example_id: str
    sample_index: int
    provider: str
    model: str
    upper_nano_usd: int
    upper_tokens: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The cap leaves no room.

    Attributes:
        while_held: it would fit if every call that somebody follows cost nothing: worth waiting
            for. What a batch holds that nobody follows stays held.
    """

    while_held: bool


@dataclass(frozen=True, slots=True)
class Balance:
    """A budget's state; nano-dollars and tokens."""

    spent_nano_usd: int
    held_nano_usd: int
    spent_tokens: int
    held_tokens: int


class Session:
    """One stage's hold on a journal and a budget; what dead sessions held is settled first.

    Args:
        journal: the open journal; not closed with the session.
        budget: its caps replace those that the name had.
        run: the run's name.
        stage: such as `label`.

    Raises:
        UsageError: a cap is negative.
    """

    def __init__(self, journal: Journal, budget: Budget, run: str, stage: str) -> None:
        if min(budget.cap_nano_usd or 0, budget.cap_tokens or 0) < 0:
            raise UsageError(f"the budget {budget.name!r} is negative", "0 buys nothing")
        self.journal = journal
        self.budget = budget
        locks = Path(f"{journal.path}.sessions")
        locks.mkdir(exist_ok=True)
        self._lock = locks / f"{uuid4().hex}.lock"
        self._held = self._lock.open("w")
        fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        row = (run, stage, budget.name, self._lock.name, _now())
        self.recovered = journal.write_now(self.settle_the_dead)
        self.id = journal.write_now(lambda c: _open(c, budget, row))

    def close(self) -> None:
        """End the session; its open reservations count as unknown, but for those of batches."""
        if not self._held.closed:
            self.journal.write_now(lambda c: _end(c, self.id))
            self._lock.unlink(missing_ok=True)
            self._held.close()

    def settle_the_dead(self, c: sqlite3.Connection) -> int:
        """Settle what dead sessions held; gives the number of calls. A write of the journal."""
        return _settle_the_dead(c, self._lock.parent)

    def reserve(self, c: sqlite3.Connection, request: Request, key_alias: str) -> int | Refused:
        """Hold the upper price of one request; a write of the journal.

        Args:
            c: the journal's connection.
            request: what is asked.
            key_alias: the name of the key that pays, never the key.

        Returns:
            The call's number, or why the cap forbids it.
        """
        upper = (request.upper_nano_usd, request.upper_tokens)
        name = self.budget.name
        done = c.execute(
            "UPDATE budgets SET held_nano_usd = held_nano_usd + ?1, held_tokens = held_tokens + ?2"
            " WHERE name = ?3"
            " AND (cap_nano_usd IS NULL OR spent_nano_usd + held_nano_usd + ?1 <= cap_nano_usd)"
            " AND (cap_tokens IS NULL OR spent_tokens + held_tokens + ?2 <= cap_tokens)",
            (*upper, name),
        )
        if not done.rowcount:
            return Refused(while_held=_fits_without_held(c, name, *upper))
        row = c.execute(
            "INSERT INTO calls(session, budget, request, example_id, sample_index, provider, model,"
            " key_alias, state, upper_nano_usd, upper_tokens, reserved_at)"
            " VALUES(?,?,?,?,?,?,?,?,'reserved',?,?,?)",
            (
                *(self.id, name, request.key, request.example_id, request.sample_index),
                *(request.provider, request.model, key_alias, *upper, _now()),
            ),
        )
        return int(row.lastrowid or 0)

    def settle(self, c: sqlite3.Connection, call: int, bill: Bill) -> Balance:
        """Take off what a call cost and let go of its reservation; a write of the journal.

        Args:
            c: the journal's connection.
            call: from `reserve`; settling twice changes nothing.
            bill: how it ended.

        Returns:
            The budget after it.
        """
        _settle(c, call, bill)
        return balance_of(c, self.budget.name)


@dataclass(frozen=True, slots=True)
class Bill:
    """How a call ended.

    Attributes:
        state: see the top of this file.
        reason: a short fixed word, empty when all went well.
        usage: None when nobody told.
        nano_usd: the price of the usage; `assumed` and `unknown` take the upper price instead.
    """

    state: State
    reason: str = ""
    usage: Usage | None = None
    nano_usd: int = 0


def balance_of(c: sqlite3.Connection, name: str) -> Balance:
    """The state of a budget; zeros for a name that was never used."""
    row = c.execute(
        "SELECT spent_nano_usd, held_nano_usd, spent_tokens, held_tokens FROM budgets"
        " WHERE name = ?",
        (name,),
    ).fetchone()
    return Balance(*(row or (0, 0, 0, 0)))


def mark_accepted(c: sqlite3.Connection, call: int, is_accepted: bool) -> None:
    """Note whether a call's answer became part of the data; a write of the journal."""
    c.execute("UPDATE calls SET accepted = ? WHERE id = ?", (int(is_accepted), call))


def keep_accepted(c: sqlite3.Connection, session: int, used: Collection[tuple[str, int]]) -> None:
    """Take the note "accepted" from a session's calls whose answers were not used after all.

    Args:
        c: the journal's connection; a write.
        session: whose calls.
        used: example id and sample index of each answer that became part of the data.
    """
    rows = c.execute(
        "SELECT id, example_id, sample_index FROM calls WHERE session = ? AND accepted = 1",
        (session,),
    ).fetchall()
    unused = [(call,) for call, example_id, index in rows if (example_id, index) not in used]
    c.executemany("UPDATE calls SET accepted = 0 WHERE id = ?", unused)


def _settle(c: sqlite3.Connection, call: int, bill: Bill) -> None:
    row = c.execute(
        "SELECT budget, upper_nano_usd, upper_tokens FROM calls"
        " WHERE id = ? AND state = 'reserved'",
        (call,),
    ).fetchone()
    if row is None:
        return
    name, upper_nano_usd, upper_tokens = row
    usage = bill.usage or Usage(0, 0)
    cost, tokens = {
        "paid": (bill.nano_usd, usage.tokens),
        "free": (0, 0),
    }.get(bill.state, (upper_nano_usd, upper_tokens))
    is_over = cost > upper_nano_usd or tokens > upper_tokens
    c.execute(
        "UPDATE calls SET state = ?, reason = ?, nano_usd = ?, prompt_tokens = ?,"
        " cached_tokens = ?, completion_tokens = ? WHERE id = ?",
        (
            *(bill.state, bill.reason or ("overrun" if is_over else ""), cost),
            *(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, call),
        ),
    )
    c.execute(
        "UPDATE budgets SET held_nano_usd = held_nano_usd - ?, held_tokens = held_tokens - ?,"
        " spent_nano_usd = spent_nano_usd + ?, spent_tokens = spent_tokens + ? WHERE name = ?",
        (upper_nano_usd, upper_tokens, cost, tokens, name),
    )


def _fits_without_held(c: sqlite3.Connection, name: str, nano_usd: int, tokens: int) -> bool:
    left_nano_usd, left_tokens = c.execute(
        "SELECT coalesce(sum(upper_nano_usd), 0), coalesce(sum(upper_tokens), 0) FROM batches"
        " JOIN sessions ON sessions.id = batches.session AND sessions.state = 'ended'"
        " JOIN batch_calls ON batch = batches.id"
        " JOIN calls ON calls.id = call AND calls.state = 'reserved' AND calls.budget = ?"
        " WHERE NOT ended",
        (name,),
    ).fetchone()
    return bool(
        c.execute(
            "SELECT 1 FROM budgets WHERE name = ?3 AND held_tokens > ?4"
            " AND (cap_nano_usd IS NULL OR spent_nano_usd + ?1 <= cap_nano_usd)"
            " AND (cap_tokens IS NULL OR spent_tokens + ?2 <= cap_tokens)",
            (nano_usd + left_nano_usd, tokens + left_tokens, name, left_tokens),
        ).fetchone()
    )


def _open(c: sqlite3.Connection, budget: Budget, row: tuple[str, str, str, str, str]) -> int:
    c.execute(
        "INSERT INTO budgets(name, cap_nano_usd, cap_tokens) VALUES(?1, ?2, ?3)"
        " ON CONFLICT(name) DO UPDATE SET cap_nano_usd = ?2, cap_tokens = ?3",
        (budget.name, budget.cap_nano_usd, budget.cap_tokens),
    )
    made = c.execute(
        "INSERT INTO sessions(run, stage, budget, lock, started_at, state)"
        " VALUES(?, ?, ?, ?, ?, 'open')",
        row,
    )
    return int(made.lastrowid or 0)


def _end(c: sqlite3.Connection, session: int, reason: str = "left open") -> int:
    unsent = c.execute(
        "SELECT call FROM batch_calls JOIN batches ON batches.id = batch"
        " WHERE session = ? AND file = '' AND NOT ended",
        (session,),
    ).fetchall()
    for (call,) in unsent:
        _settle(c, call, Bill("free", "never_sent"))
    c.execute("UPDATE batches SET ended = 1 WHERE session = ? AND file = ''", (session,))
    left = c.execute(
        "SELECT id FROM calls WHERE session = ? AND state = 'reserved' AND NOT EXISTS"
        " (SELECT 1 FROM batch_calls JOIN batches ON batches.id = batch"
        "  WHERE call = calls.id AND NOT ended)",
        (session,),
    ).fetchall()
    for (call,) in left:
        _settle(c, call, Bill("unknown", reason))
    c.execute("UPDATE sessions SET state = 'ended' WHERE id = ?", (session,))
    return len(left)


def _settle_the_dead(c: sqlite3.Connection, locks: Path) -> int:
    settled = 0
    for session, lock in c.execute("SELECT id, lock FROM sessions WHERE state = 'open'").fetchall():
        with suppress(BlockingIOError):
            stream = _take(locks / lock)
            settled += _end(c, session, "killed")
            (locks / lock).unlink(missing_ok=True)
            stream.close()
    return settled


def _take(path: Path) -> IO[str]:
    stream = path.open("w")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        raise
    return stream


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
