"""A process that answers one question at a time, and may crash at any of them.

It is for libraries that end their process when they meet what they did not expect. However it
ends, the caller gets an `EngineDiedError` that says how; it never waits for what will not come.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from numpy.typing import NDArray

from stillhouse.core.errors import EngineDiedError, error_by_name
from stillhouse.engines.frames import Frame, FrameError, FrameReader, SilenceError, write_frame

_GRACE_S = 2.0
"""assumption: a process whose pipe was closed needs no longer to end."""

_LAST_BYTES, _LAST_LINES = 4000, 3

_SIGNS = {
    signal.SIGKILL: "signal 9 is often the kernel's answer to too little memory",
    signal.SIGSEGV: "the library read memory that is not its own: a damaged file, or one of a kind "
    "that this version does not know",
    signal.SIGABRT: "the library gave up on something that it did not expect",
    signal.SIGILL: "the library was compiled for another processor: install it here again",
}


class ChildProcess:
    """The caller's end of such a process; a context manager.

    Args:
        command: starts it; it reads frames from standard input, writes frames to standard output,
            and ends when standard input closes.
        name: what it runs, for errors.
        silence_s: the longest time without a word while it works; it writes `alive` between.
    """

    def __init__(self, command: Sequence[str], name: str, silence_s: float) -> None:
        self._name = name
        self._silence_s = silence_s
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, bufsize=0
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to = self._process.stdin.fileno()
        os.set_blocking(self._to, False)
        self._reader = FrameReader(self._process.stdout.fileno(), silence_s)
        self._close = weakref.finalize(self, _end, self._process, self._log)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def process_id(self) -> int:
        """Of the process."""
        return self._process.pid

    def peak_bytes(self) -> int:
        """The most memory that the process took so far; 0 where the system does not say.

        Not of `getrusage`, where a child begins with the memory of whoever started it.
        """
        status = Path(f"/proc/{self._process.pid}/status")
        lines = status.read_text().splitlines() if status.is_file() else []
        found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
        return found[0] if found else 0

    def close(self) -> None:
        """End the process; it has a moment to do it by itself."""
        self._close()

    def ask(
        self, doing: str, head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]] | None = None
    ) -> Frame:
        """The answer to one question.

        Args:
            doing: what it is asked to do, for errors, such as `scoring example e1`.
            head: the question.
            arrays: with it.

        Returns:
            The frame whose `event` is `answer`.

        Raises:
            EngineDiedError: it ended, fell silent, or wrote what is no answer; it is gone then.
            StillhouseError: of the class that it told.
        """
        if not self._close.alive:
            raise EngineDiedError(f"the process of {self._name} was ended before {doing}")
        try:
            write_frame(self._to, head, arrays, self._silence_s)
            while (frame := self._reader.read()) is not None:
                if self._is_answer(doing, frame):
                    return frame
        except SilenceError:
            how = f"said nothing for {self._silence_s:g} s and was ended"
            hint = "allow it a longer silence, or look for what keeps the machine busy"
            raise self._died(doing, how, hint) from None
        except FrameError as error:
            raise self._died(doing, f"wrote what is no answer ({error})") from None
        except (BrokenPipeError, ConnectionResetError):
            pass  # it is gone; how it went is known below
        except KeyboardInterrupt:
            self.close()  # its answer would be taken for that of the next question
            raise
        raise self._died(doing)

    def _is_answer(self, doing: str, frame: Frame) -> bool:
        """False for a sign of life; raises what the other side raised."""
        event, head = frame.head.get("event"), frame.head
        if event == "error":
            kind = error_by_name(str(head.get("kind")))
            told = f"{self._name}, {doing}: {head.get('message')}"
            raise kind(told, str(head.get("hint", "")))
        if event not in ("answer", "alive"):
            raise FrameError(f"no such event: {event!r}")
        return event == "answer"

    def _died(self, doing: str, how: str = "", hint: str = "") -> EngineDiedError:
        if not how:
            how, hint = self._ending()
        last = self._last_words()
        self.close()
        return EngineDiedError(f"the process of {self._name} {how} while {doing}{last}", hint)

    def _ending(self) -> tuple[str, str]:
        """How it ended, and what that may mean."""
        try:
            code = self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            return "closed its pipe", ""
        if code >= 0:
            return f"ended with code {code}", ""
        with contextlib.suppress(ValueError):
            sign = signal.Signals(-code)
            return f"was ended by {sign.name}", _SIGNS.get(sign, "")
        return f"was ended by signal {-code}", ""

    def _last_words(self) -> str:
        if self._log.closed:
            return ""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LAST_BYTES))
        lines = self._log.read().decode("utf-8", "replace").splitlines()
        last = [line.strip() for line in lines if line.strip()][-_LAST_LINES:]
        return "; it last said: " + " | ".join(last) if last else ""


def _end(process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_GRACE_S if process.poll() is None else 0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
    log.close()
