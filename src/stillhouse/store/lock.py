"""One process at a time in a folder; the one that comes second learns who is first."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stillhouse.core.errors import BusyError
from stillhouse.core.files import is_running


@contextmanager
def hold_lock(path: Path, claim: str, hint: str) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; the kernel drops it if we are killed.

    Args:
        path: the file; made when missing.
        claim: what the one who comes second is told, such as `runs/songs is in use`.
        hint: and what to do.

    Raises:
        BusyError: another process holds it; names the process and its command.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read().strip() or "another process"
            raise BusyError(f"{claim} by {holder}", hint) from None
        stream.truncate(0)
        stream.write(f"process {os.getpid()} ({' '.join(sys.argv)[:200]})\n")
        stream.flush()
        yield


def was_left(path: Path) -> bool:
    """Whether the last one who held the lock file `path` is gone, and nobody holds it now.

    Args:
        path: the file; one that is not there was held by nobody.

    Returns:
        False also where that process may run on another machine.
    """
    if not path.is_file():
        return False
    _, _, rest = path.read_text(encoding="utf-8", errors="replace").partition("process ")
    process_id = rest.partition(" ")[0]
    # The lock is tried last, and for no live process: whoever starts meanwhile would meet it.
    if not process_id.isdecimal() or is_running(int(process_id)):
        return False
    with path.open() as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextmanager
def wait_for_lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path` while the block runs, after whoever holds it now.

    Args:
        path: the file; made when missing.

    Yields:
        Nothing.
    """
    with path.open("a+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def read_lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path` beside others who read, after whoever holds it alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        yield


@contextmanager
def no_readers(path: Path, claim: str, hint: str) -> Iterator[None]:
    """Hold the lock file `path` alone while the block runs.

    Args:
        path: of `read_lock`.
        claim: what is told where somebody reads, such as `train-1 is in use`.
        hint: and what to do.

    Yields:
        Nothing.

    Raises:
        BusyError: somebody reads; who, is not told, for it may be several.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"{claim} by another process", hint) from None
        yield
