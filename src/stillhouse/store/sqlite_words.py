"""What SQLite says of a file, in words that help."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stillhouse.core.errors import ArtifactError, BusyError, DiskFullError, StillhouseError

BUSY_S = 30.0
"""assumption: no other process keeps a file locked for longer, its writes take milliseconds."""


def in_words(
    error: sqlite3.Error, path: Path, *, what: str, kept: str, mend: str
) -> StillhouseError:
    """The error that says what happened to a file, and what to do.

    Args:
        error: of SQLite.
        path: the file.
        what: it is, such as `a journal of calls`.
        kept: what a full disk does not take away.
        mend: what to do with a file that cannot be used.

    Returns:
        To be raised.
    """
    text = str(error)
    if "full" in text:
        return DiskFullError(f"no space left for {path}", f"free some space; {kept}")
    if "locked" in text:
        return BusyError(
            f"{path} was locked by another process for {BUSY_S:.0f} s",
            "wait until it is done; the folder must lie on a local disk",
        )
    return ArtifactError(f"{path} cannot be used as {what}: {text}", mend)


@contextmanager
def clear_errors(path: Path, *, what: str, kept: str, mend: str) -> Iterator[None]:
    """Raise what SQLite says of a file, while the block runs, as `in_words` says it."""
    try:
        yield
    except sqlite3.Error as error:
        raise in_words(error, path, what=what, kept=kept, mend=mend) from error
