"""Answers that were paid for, kept by what was asked, so that none is paid twice.

An answer is written in the transaction that settles its price: there is no moment at which it is
paid and not kept, or kept and not paid. It is read back only if its checksum fits; a damaged one
is thrown away, and the call is made again.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from stillhouse.store.ledger import Usage

ROWS_APART = "+"
"""Between the ids of rows, in the name of an example that tells of several."""

_NO_ID = re.compile(r"[^0-9A-Za-z-]")
"""What ends a row's id within an example's."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """A provider's answer as it came.

    Attributes:
        call: its number in the ledger.
        body: the bytes of the reply.
        usage: what the provider counted; zeros when it did not tell.
        nano_usd: what was taken off for it.
    """

    call: int
    body: bytes
    usage: Usage
    nano_usd: int


def keep_answer(c: sqlite3.Connection, key: str, answer: KeptAnswer) -> None:
    """Keep an answer under its key; a write of the journal. A sound one that is there stays.

    Args:
        c: the journal's connection.
        key: a digest of everything that was asked.
        answer: what came back.
    """
    if find_answer(c, key) is not None:
        return
    packed = zlib.compress(answer.body, 1)
    usage = json.dumps(asdict(answer.usage), sort_keys=True)
    digest = _digest(key, packed, usage, answer.nano_usd)
    c.execute(
        "INSERT OR REPLACE INTO answers(request, call, body, usage, nano_usd, digest)"
        " VALUES(?, ?, ?, ?, ?, ?)",
        (key, answer.call, packed, usage, answer.nano_usd, digest),
    )


def find_answer(c: sqlite3.Connection, key: str) -> KeptAnswer | None:
    """The kept answer of a key.

    Args:
        c: the journal's connection.
        key: as in `keep_answer`.

    Returns:
        None when there is none, or none that can be trusted.
    """
    row = c.execute(
        "SELECT call, CAST(body AS BLOB), CAST(usage AS BLOB), nano_usd, CAST(digest AS BLOB)"
        " FROM answers WHERE request = ?",
        (key,),
    ).fetchone()
    if row is None:
        return None
    call, packed, usage, nano_usd, digest = row
    try:
        usage, digest = usage.decode(), digest.decode()
        if _digest(key, packed, usage, nano_usd) == digest:
            return KeptAnswer(call, zlib.decompress(packed), Usage(**json.loads(usage)), nano_usd)
    except (TypeError, ValueError, AttributeError, zlib.error):
        pass
    return None


def forget_answers(c: sqlite3.Connection, row_ids: Iterable[str]) -> int:
    """Delete the kept answers to questions about rows; a write of the journal.

    What was paid for them stays in the ledger.

    Args:
        c: the journal's connection.
        row_ids: of the rows; an example has the id of its row, or of several, with what was made
            of it behind a sign such as `#`.

    Returns:
        How many there were.
    """
    c.execute("PRAGMA secure_delete = ON")
    wanted = set(row_ids)
    calls = {
        call
        for call, example_id in c.execute("SELECT id, example_id FROM calls")
        if example_id in wanted or not wanted.isdisjoint(_rows_of(example_id))
    }
    # by their own key: to look for each call among all answers would take its square of time
    known = c.execute("SELECT request, call FROM answers").fetchall()
    gone = [(request,) for request, call in known if call in calls]
    c.executemany("DELETE FROM answers WHERE request = ?", gone)
    return len(gone)


def _rows_of(example_id: str) -> list[str]:
    return [_NO_ID.split(one, maxsplit=1)[0] for one in example_id.split(ROWS_APART)]


def _digest(key: str, packed: bytes, usage: str, nano_usd: int) -> str:
    state = hashlib.blake2b(packed, digest_size=16)
    state.update(f"\0{key}\0{usage}\0{nano_usd}".encode())
    return state.hexdigest()
