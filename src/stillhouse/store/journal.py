"""The SQLite file of paid calls: many may write, one at a time, and what is written is durable.

Writes are functions of a connection. They are gathered by one thread and committed together, so
that sixty calls a second cost a few fsyncs and not a hundred: whoever awaits a write goes on
only when it is on the disk. Two processes may share the file: SQLite's own lock lets one commit
while the other waits.

A process that has the file open holds a *session*: a row, and a lock file that the kernel lets
go of when the process ends, however it ends. A session whose lock is free is dead, whatever the
clock or the process numbers say. `store/ledger.py` settles what it left behind.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from stillhouse.core.errors import ArtifactError, StillhouseError
from stillhouse.store.lock import wait_for_lock
from stillhouse.store.sqlite_words import BUSY_S, in_words

T = TypeVar("T")
Write = Callable[[sqlite3.Connection], T]

_GATHER_S = 0.003
"""A commit waits so long for company. measured: benchmarks/gateway_speed.py needs 405 instead of
480 microseconds of CPU a call, because fewer threads wake each other."""
_BATCH = 256  # assumption: more writes in one commit save no further fsync

_TABLES = """
CREATE TABLE IF NOT EXISTS sessions(
  id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, stage TEXT NOT NULL,
  budget TEXT NOT NULL, lock TEXT NOT NULL, state TEXT NOT NULL, started_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS budgets(
  name TEXT PRIMARY KEY, cap_nano_usd INTEGER, cap_tokens INTEGER,
  spent_nano_usd INTEGER NOT NULL DEFAULT 0, spent_tokens INTEGER NOT NULL DEFAULT 0,
  held_nano_usd INTEGER NOT NULL DEFAULT 0, held_tokens INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS calls(
  id INTEGER PRIMARY KEY AUTOINCREMENT, session INTEGER NOT NULL, budget TEXT NOT NULL,
  request TEXT NOT NULL, example_id TEXT NOT NULL, sample_index INTEGER NOT NULL,
  provider TEXT NOT NULL, model TEXT NOT NULL, key_alias TEXT NOT NULL,
  state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
  upper_nano_usd INTEGER NOT NULL, upper_tokens INTEGER NOT NULL,
  nano_usd INTEGER NOT NULL DEFAULT 0, prompt_tokens INTEGER NOT NULL DEFAULT 0,
  cached_tokens INTEGER NOT NULL DEFAULT 0, completion_tokens INTEGER NOT NULL DEFAULT 0,
  accepted INTEGER, reserved_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS open_calls ON calls(session) WHERE state = 'reserved';
CREATE TABLE IF NOT EXISTS answers(
  request TEXT PRIMARY KEY, call INTEGER NOT NULL, body BLOB NOT NULL, usage TEXT NOT NULL,
  nano_usd INTEGER NOT NULL, digest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS batches(
  id INTEGER PRIMARY KEY AUTOINCREMENT, session INTEGER NOT NULL, place TEXT NOT NULL,
  token TEXT NOT NULL UNIQUE, key_alias TEXT NOT NULL, file TEXT NOT NULL DEFAULT '',
  remote TEXT NOT NULL DEFAULT '', ended INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS batch_calls(
  call INTEGER PRIMARY KEY, batch INTEGER NOT NULL, line INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS calls_of_batch ON batch_calls(batch);
PRAGMA user_version = 2;
"""
_FORMAT = 2
"""2 added the batches; a file of format 1 gets them when it is opened."""


@dataclass(slots=True)
class _Item:
    write: Write[Any]
    future: Any
    loop: asyncio.AbstractEventLoop | None


class Journal:
    """One process's hold on the file; close it when the work is done.

    Args:
        path: the SQLite file, on a local disk; made when missing.

    Raises:
        ArtifactError: the file is no journal, or is damaged.
        BusyError: another process has kept it locked for half a minute.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._queue: SimpleQueue[_Item | None] = SimpleQueue()
        opened: Future[None] = Future()
        self._thread = Thread(target=self._serve, args=(opened,), daemon=True, name="journal")
        self._thread.start()
        opened.result()
        self._reader = connect(path)

    def read(self, read: Write[T]) -> T:
        """The result of a function that only reads; not from two threads at once.

        Args:
            read: sees what is durable.

        Returns:
            Its result.

        Raises:
            ArtifactError: the file is damaged.
        """
        try:
            return read(self._reader)
        except sqlite3.Error as error:
            raise _in_words(error, self.path) from error

    def write_now(self, write: Write[T]) -> T:
        """The result of `write` once it is durable; for callers without an event loop."""
        future: Future[T] = Future()
        self._put(_Item(write, future, None))
        return future.result()

    async def write(self, write: Write[T]) -> T:
        """The result of `write` once it is durable."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._put(_Item(write, future, loop))
        return await future

    def post(self, write: Write[Any]) -> None:
        """Write without waiting; it is durable with the next write, or when the file is closed."""
        self._put(_Item(write, Future(), None))

    def close(self) -> None:
        """Finish what was asked for, then let go of the file; a second call does nothing."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
            self._reader.close()

    def _put(self, item: _Item) -> None:
        if not self._thread.is_alive():
            raise ArtifactError(f"{self.path} is closed", "open the journal anew")
        self._queue.put(item)

    def _serve(self, opened: Future[None]) -> None:
        try:
            connection = connect(self.path)
        except BaseException as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        going = True
        while going:
            batch, going = self._gather()
            _deliver(batch, _commit(connection, batch, self.path))
        connection.close()

    def _gather(self) -> tuple[list[_Item], bool]:
        batch: list[_Item] = []
        item = self._queue.get()
        if item is not None and item.loop is not None:
            time.sleep(_GATHER_S)
        while item is not None and len(batch) < _BATCH:
            batch.append(item)
            try:
                item = self._queue.get_nowait()
            except Empty:
                return batch, True
        if item is not None:
            batch.append(item)
        return batch, item is not None


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a journal, made when missing; each commit is durable.

    Args:
        path: the SQLite file.

    Returns:
        In autocommit mode; for one thread at a time.

    Raises:
        ArtifactError: the file is damaged or of another format.
    """
    try:
        with wait_for_lock(Path(f"{path}.opening")):
            return _open(path)
    except sqlite3.Error as error:
        raise _in_words(error, path) from error


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, timeout=BUSY_S, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if not 0 <= found <= _FORMAT:
        connection.close()
        raise ArtifactError(
            f"{path} has format {found}; this version reads up to {_FORMAT}",
            "use the version that wrote it, or another folder",
        )
    if found < _FORMAT:
        connection.executescript(_TABLES)
    return connection


def _commit(connection: sqlite3.Connection, batch: list[_Item], path: Path) -> list[Any]:
    try:
        return _commit_once(connection, batch)
    except BaseException as error:
        _roll_back(connection)
        if len(batch) == 1:
            return [_in_words(error, path)]
    # one bad write must not take the others with it
    return [found for item in batch for found in _commit(connection, [item], path)]


def _commit_once(connection: sqlite3.Connection, batch: list[_Item]) -> list[Any]:
    if not batch:
        return []
    connection.execute("BEGIN IMMEDIATE")
    results = [item.write(connection) for item in batch]
    connection.execute("COMMIT")
    return results


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _deliver(batch: list[_Item], results: list[Any]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Any, Any]]] = {}
    for item, result in zip(batch, results, strict=True):
        if item.loop is None:
            _resolve([(item.future, result)])
        else:
            by_loop.setdefault(item.loop, []).append((item.future, result))
    for loop, pairs in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, pairs)


def _resolve(pairs: list[tuple[Any, Any]]) -> None:
    for future, result in pairs:
        if future.done():
            continue
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)


def _in_words(error: BaseException, path: Path) -> BaseException:
    if isinstance(error, StillhouseError) or not isinstance(error, sqlite3.Error):
        return error
    return in_words(
        error,
        path,
        what="a journal of calls",
        kept="every paid answer so far is kept",
        mend="move it aside to begin a new one; its answers and its account of money stay in it",
    )
