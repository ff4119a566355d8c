"""What hosts have answered, kept so that nothing is asked twice, and how long they want to rest.

One SQLite file serves all collections of a runs folder. A reply is durable before anyone acts on
it, so that a process which is killed at any moment goes on where it was.
"""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stillhouse.core.errors import ArtifactError
from stillhouse.store.lock import wait_for_lock
from stillhouse.store.sqlite_words import BUSY_S, clear_errors

COLLECTED = "collected"
"""The folder of it below a root of runs."""
REPLIES, TURNS = "replies.sqlite", "turns"

_FORMAT = 1
LONGEST_REST_S = 7 * 86400.0
"""assumption: a host that asks for more than a week has lost its clock."""

_TABLES = """
CREATE TABLE IF NOT EXISTS replies(
  key TEXT PRIMARY KEY, source TEXT NOT NULL, host TEXT NOT NULL, url TEXT NOT NULL,
  status INTEGER NOT NULL, body BLOB NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS rests(host TEXT PRIMARY KEY, until REAL NOT NULL, why TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS verdicts(
  plan TEXT NOT NULL, digest TEXT NOT NULL, verdict TEXT NOT NULL, at TEXT NOT NULL,
  PRIMARY KEY(plan, digest));
PRAGMA user_version = 1;
"""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply of a host.

    Attributes:
        status: of HTTP.
        body: unpacked bytes.
        url: that was asked, without secrets.
        at: when it came, ISO 8601 in UTC.
    """

    status: int
    body: bytes
    url: str
    at: str


def place_of(url: str) -> str:
    """The host of an address as one name, however it is written; with its port if that is odd."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return host if parts.port in (None, usual) else f"{host}:{parts.port}"


def forget_replies(root: Path, source: str) -> int:
    """Delete all that a source answered to the collections below a root of runs; gives how many."""
    path = root / COLLECTED / REPLIES
    if not path.is_file():
        return 0
    store = ReplyStore(path)
    try:
        return store.forget(source)
    finally:
        store.close()


@dataclass(frozen=True, slots=True)
class Rest:
    """A host that wants to be left alone.

    Attributes:
        seconds: from now.
        why: for people.
    """

    seconds: float
    why: str


class ReplyStore:
    """The file, opened; for one thread.

    Args:
        path: an SQLite file on a local disk; made when missing.
        wall: seconds since 1970.

    Raises:
        ArtifactError: the file is damaged or of another format.
    """

    def __init__(self, path: Path, wall: Callable[[], float] = time.time) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._wall = wall
        with self._clear(), wait_for_lock(Path(f"{path}.opening")):
            self._c = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S)
            self._c.execute("PRAGMA journal_mode = WAL")
            self._c.execute("PRAGMA synchronous = FULL")
            found = self._c.execute("PRAGMA user_version").fetchone()[0]
            if found > _FORMAT:
                raise ArtifactError(
                    f"{path} has format {found}; this version reads up to {_FORMAT}",
                    "use the version that wrote it, or another runs folder",
                )
            self._c.executescript(_TABLES)

    def close(self) -> None:
        """Let go of the file."""
        self._c.close()

    def get(self, key: str) -> Reply | None:
        """The kept reply to a request; None where there is none, or it is torn."""
        with self._clear():
            row = self._c.execute(
                "SELECT status, body, url, at FROM replies WHERE key = ?", (key,)
            ).fetchone()
        try:
            return Reply(row[0], zlib.decompress(row[1]), row[2], row[3]) if row else None
        except (zlib.error, TypeError):
            return None

    def keep(self, key: str, source: str, reply: Reply) -> None:
        """Keep a reply; it is durable when this returns.

        Args:
            key: of the request.
            source: whose reply, so that all of a source can be forgotten.
            reply: whole.
        """
        host = place_of(reply.url)
        packed = zlib.compress(reply.body, 6)
        with self._clear():
            self._c.execute(
                "INSERT OR REPLACE INTO replies VALUES(?, ?, ?, ?, ?, ?, ?)",
                (key, source, host, reply.url, reply.status, packed, reply.at),
            )

    def forget(self, source: str) -> int:
        """Delete all that a source answered, as when its owner withdraws it.

        Args:
            source: a recipe's name of it, or a host.

        Returns:
            How many replies there were.
        """
        with self._clear():
            done = self._c.execute(
                "DELETE FROM replies WHERE ?1 IN (source, host)", (source,)
            ).rowcount
            self._c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._c.execute("VACUUM")
            return done

    def counts(self) -> dict[str, int]:
        """Source to number of its kept replies."""
        with self._clear():
            return dict(
                self._c.execute("SELECT source, count(*) FROM replies GROUP BY source").fetchall()
            )

    def rest(self, host: str, seconds: float, why: str) -> None:
        """Let nobody ask a host for so long; a longer rest that is under way stays."""
        until = self._wall() + min(seconds, LONGEST_REST_S)
        with self._clear():
            self._c.execute(
                "INSERT INTO rests VALUES(?1, ?2, ?3) ON CONFLICT(host) DO UPDATE SET"
                " until = max(until, ?2), why = CASE WHEN ?2 > until THEN ?3 ELSE why END",
                (host, until, why),
            )

    def resting(self, host: str) -> Rest:
        """How long a host still wants to be left alone; 0 seconds when it does not."""
        with self._clear():
            row = self._c.execute("SELECT until, why FROM rests WHERE host = ?", (host,)).fetchone()
        left = row[0] - self._wall() if row else 0.0
        # The clock was set back: no rest is that long.
        return Rest(left, row[1]) if 0 < left <= LONGEST_REST_S else Rest(0.0, "")

    def note_verdict(self, plan: str, digest: str, verdict: dict[str, Any], at: str) -> None:
        """Keep what the rules of a plan said of its collection."""
        with self._clear():
            self._c.execute(
                "INSERT OR REPLACE INTO verdicts VALUES(?, ?, ?, ?)",
                (plan, digest, json.dumps(verdict), at),
            )

    def verdicts(self, plan: str) -> dict[str, dict[str, Any]]:
        """Digest of a plan to what its rules said; several where the plan was changed."""
        with self._clear():
            rows = self._c.execute(
                "SELECT digest, verdict FROM verdicts WHERE plan = ? ORDER BY at", (plan,)
            ).fetchall()
            return {digest: json.loads(verdict) for digest, verdict in rows}

    def _clear(self) -> AbstractContextManager[None]:
        return clear_errors(
            self.path,
            what="a store of replies",
            kept="every reply so far is kept",
            mend="move it aside to begin a new one; what it holds is then asked anew",
        )
