"""One request at a time to a host, with a pause after each reply, over all processes and restarts.

Whoever has the turn holds a lock that the kernel drops when its holder dies. The pause is counted
from the reply: the request reached the server before that, so by the server's own clock the next
one comes at least a pause later, however long the way to it took. A holder that was killed may
have sent its request at any moment before; then a whole pause passes first.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

_LOOK_AGAIN_S = 0.02
"""assumption: another process lets go at some moment in a pause of a second; this late is soon."""
_STATE_BYTES = 64


class Turnstile:
    """The turns of one host.

    Args:
        folder: one for all processes that share the turns, on a local disk.
        host: whose turns.
        clock: seconds since the machine's boot.
    """

    def __init__(
        self, folder: Path, host: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{host.replace(':', '_')}.turn"
        self._clock = clock

    @asynccontextmanager
    async def turn(self, pause_s: float) -> AsyncIterator[None]:
        """Wait for a turn, and hold it while the block runs.

        Args:
            pause_s: from the end of the last turn to the begin of this one, at least.

        Yields:
            Nothing; send the request and read its reply inside.
        """
        with _opened(self._path) as stream:
            while not _is_locked(stream):
                await asyncio.sleep(_LOOK_AGAIN_S)
            while (left := self._left(stream, pause_s)) > 0:
                await asyncio.sleep(left)
            _write(stream, {"out": True})
            try:
                yield
            finally:
                _write(stream, {"out": False, "ended": self._clock()})

    def _left(self, stream: IO[bytes], pause_s: float) -> float:
        now = self._clock()
        ended = _ended(stream)
        if ended is None or ended > now:
            # The last holder died with its request under way or while it wrote, or the time is of
            # another boot of the machine.
            ended = now
            _write(stream, {"out": False, "ended": ended})
        return ended + pause_s - now


def _opened(path: Path) -> IO[bytes]:
    # Neither emptied nor appended to.
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+b", 0)


def _ended(stream: IO[bytes]) -> float | None:
    """When the last turn ended; None where nobody knows, and long ago where there was none."""
    stream.seek(0)
    try:
        text = stream.read()
        state = json.loads(text) if text else {"ended": -1e9}
        return None if state.get("out") else float(state["ended"])
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


def _is_locked(stream: IO[bytes]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(stream: IO[bytes], state: dict[str, float | bool]) -> None:
    # In place and always as long: a holder who is killed, or a disk that is full, leaves no empty
    # file, which would be a host that nobody has asked yet.
    stream.seek(0)
    stream.write(json.dumps(state).ljust(_STATE_BYTES).encode())
    stream.truncate(_STATE_BYTES)
