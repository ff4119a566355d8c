"""When the next request may go, shared by all processes of this machine and kept over restarts.

A limit on requests is spacing: after one request the next waits `window / amount` seconds, so
ten a second never means ten at once. A limit on tokens is a sliding window: what was taken in the
last `window` seconds and what is asked for now stay within the amount.

Nothing is promised ahead. A request takes a place when one is free, or learns how long to wait;
so what is stored never lies further in the future than one spacing, and what does is a leftover
of another boot of the machine and is cut off. The clock is the machine's own since its boot: it
is the same in all processes and cannot be set back.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from stillhouse.core.errors import ArtifactError
from stillhouse.store.lock import wait_for_lock
from stillhouse.store.sqlite_words import BUSY_S, clear_errors

LONGEST_REST_S = 3600.0
"""A rest asked for by a provider is believed up to here. assumption: a longer one is no pause."""

_TABLES = """
CREATE TABLE IF NOT EXISTS spacing(name TEXT PRIMARY KEY, next_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS uses(
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, at REAL NOT NULL, amount INTEGER);
DROP INDEX IF EXISTS uses_of;
CREATE INDEX IF NOT EXISTS amounts_of ON uses(name, at, amount);
CREATE TABLE IF NOT EXISTS rests(name TEXT PRIMARY KEY, until REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a provider, or one key, allows.

    Attributes:
        name: who is limited, such as `openai`; processes that use one name share the limit.
        kind: what is counted.
        amount: so many in a window.
        window_s: seconds.
        slack_s: added to the window, because two requests do not take equally long to the
            server. assumption: a tenth of a second covers it.
        is_per_key: each key has this limit for itself, beside those of the provider.
    """

    name: str
    kind: Literal["requests", "tokens"]
    amount: int
    window_s: float
    slack_s: float = 0.1
    is_per_key: bool = False

    def of_key(self, alias: str) -> Limit:
        """The limit as it holds for requests with that key."""
        return replace(self, name=f"{self.name}/{alias}") if self.is_per_key else self

    @property
    def spacing_s(self) -> float:
        """Seconds between two requests."""
        return (self.window_s + self.slack_s) / self.amount


@dataclass(frozen=True, slots=True)
class Place:
    """What a request for a place got.

    Attributes:
        wait_s: 0 when it was taken, else the seconds after which to try again.
        rest_s: of these, what a rest of the provider asks for.
        at: when it was taken, on the machine's clock.
    """

    wait_s: float
    rest_s: float
    at: float


class SlotTable:
    """The shared file; use it from one thread.

    Args:
        path: an SQLite file on a local disk; made when missing, and anew where a power cut has
            damaged it, which loses a minute's memory.
        clock: seconds since the machine's boot.

    Raises:
        BusyError: another process has kept it locked for half a minute.
        DiskFullError: no space left.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._clock = clock
        with wait_for_lock(Path(f"{path}.opening")):
            try:
                self._c = self._open()
            except ArtifactError as error:
                if isinstance(error.__cause__, sqlite3.OperationalError):
                    raise  # such as a folder that is read only
                for end in ("", "-wal", "-shm"):
                    Path(f"{path}{end}").unlink(missing_ok=True)
                self._c = self._open()

    def _open(self) -> sqlite3.Connection:
        with self._clear():
            c = sqlite3.connect(
                self._path, isolation_level=None, timeout=BUSY_S, check_same_thread=False
            )
            try:
                c.execute("PRAGMA journal_mode = WAL")
                # A killed process loses nothing so; after a power cut the boot is another anyway.
                c.execute("PRAGMA synchronous = OFF")
                c.executescript(_TABLES)
                if (found := c.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                    raise sqlite3.DatabaseError(found)
            except BaseException:
                c.close()
                raise
            return c

    def _clear(self) -> AbstractContextManager[None]:
        return clear_errors(
            self._path,
            what="a table of limits",
            kept="every paid answer so far is kept",
            mend="delete it, once no run uses it: it holds a minute's memory alone",
        )

    def close(self) -> None:
        """Let go of the file."""
        self._c.close()

    def take(self, limits: Sequence[Limit], tokens: int, rests: Sequence[str]) -> Place:
        """A place under all limits at once, or none.

        Args:
            limits: that hold for this request.
            tokens: the most that it will use.
            rests: names that must not be resting.

        Returns:
            The place, or how long to wait for one.
        """
        with self._alone():
            place = self._look(limits, tokens, rests)
            if place.wait_s <= 0:
                for limit in limits:
                    self._use(limit, tokens, place.at)
            return place

    def look(self, limits: Sequence[Limit], tokens: int, rests: Sequence[str]) -> Place:
        """What `take` would give, without taking anything."""
        with self._alone():
            return self._look(limits, tokens, rests)

    def _look(self, limits: Sequence[Limit], tokens: int, rests: Sequence[str]) -> Place:
        now = self._clock()
        waits = [self._wait(limit, tokens, now) for limit in limits]
        rest_s = max([0.0, *(self._rest(name, now) for name in rests)])
        return Place(max([rest_s, *waits]), rest_s, now)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._clear():
            self._c.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                self._c.execute("COMMIT")

    def give_back(self, limits: Sequence[Limit], place: Place, unused_tokens: int) -> None:
        """Note that a request used fewer tokens than it took; spacing is never given back."""
        with self._clear():
            for limit in limits:
                if limit.kind == "tokens" and unused_tokens > 0:
                    self._c.execute(
                        "UPDATE uses SET amount = amount - ?1 WHERE id ="
                        " (SELECT min(id) FROM uses WHERE name = ?2 AND at = ?3)",
                        (unused_tokens, limit.name, place.at),
                    )

    def rest(self, name: str, seconds: float) -> None:
        """Let nobody use `name` for so long; a longer rest that is under way stays."""
        until = self._clock() + min(seconds, LONGEST_REST_S)
        with self._clear():
            self._c.execute(
                "INSERT INTO rests(name, until) VALUES(?1, ?2)"
                " ON CONFLICT(name) DO UPDATE SET until = max(until, ?2)",
                (name, until),
            )

    def _rest(self, name: str, now: float) -> float:
        row = self._c.execute("SELECT until FROM rests WHERE name = ?", (name,)).fetchone()
        if row is None:
            return 0.0
        if row[0] > now + LONGEST_REST_S:  # another boot of the machine
            self._c.execute("DELETE FROM rests WHERE name = ?", (name,))
            return 0.0
        return float(row[0] - now)

    def _wait(self, limit: Limit, tokens: int, now: float) -> float:
        if limit.kind == "tokens":
            return self._wait_for_tokens(limit, tokens, now)
        row = self._c.execute(
            "SELECT next_at FROM spacing WHERE name = ?", (limit.name,)
        ).fetchone()
        return min(row[0] - now, limit.spacing_s) if row else 0.0

    def _wait_for_tokens(self, limit: Limit, tokens: int, now: float) -> float:
        length = limit.window_s + limit.slack_s
        for gone, border in (("at <= ?", now - length), ("at > ?", now + 1.0)):
            self._c.execute(f"DELETE FROM uses WHERE name = ? AND {gone}", (limit.name, border))
        used = "FROM uses WHERE name = ?", (limit.name,)
        taken = self._c.execute(f"SELECT coalesce(sum(amount), 0) {used[0]}", used[1]).fetchone()[0]
        # a request larger than the limit goes alone
        lacking = taken + min(tokens, limit.amount) - limit.amount
        if lacking <= 0:
            return 0.0
        for at, amount in self._c.execute(f"SELECT at, amount {used[0]} ORDER BY at", used[1]):
            lacking -= amount
            if lacking <= 0:
                return float(at + length - now)
        return 0.0

    def _use(self, limit: Limit, tokens: int, now: float) -> None:
        if limit.kind == "tokens":
            self._c.execute(
                "INSERT INTO uses(name, at, amount) VALUES(?, ?, ?)", (limit.name, now, tokens)
            )
            return
        self._c.execute(
            "INSERT INTO spacing(name, next_at) VALUES(?1, ?2)"
            " ON CONFLICT(name) DO UPDATE SET next_at = ?2",
            (limit.name, now + limit.spacing_s),
        )
