"""Messages between two processes: one line of JSON, then the raw bytes of the arrays it names.

Nothing is pickled. What comes from the other side is checked as it is read, because the other side
may have died in the middle of a word.
"""

from __future__ import annotations

import json
import math
import os
import select
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DTYPES = ("<i4", "<f4", "<f8", "|u1")
_LONGEST_HEAD_BYTES = 1 << 20  # assumption: heads hold a path, a few numbers and an error text
_LARGEST_ARRAY_BYTES = 1 << 32  # assumption: far above any example's scores
_READ_BYTES = 1 << 16


class FrameError(Exception):
    """The other side closed the pipe in the middle of a frame, or wrote what is no frame."""


class SilenceError(Exception):
    """The other side neither wrote nor read for too long."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message.

    Attributes:
        head: JSON values.
        arrays: by name.
    """

    head: dict[str, Any]
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


class FrameReader:
    """Frames out of one end of a pipe.

    Args:
        handle: the file descriptor.
        silence_s: the longest wait for the next bytes; None waits for ever.
    """

    def __init__(self, handle: int, silence_s: float | None = None) -> None:
        self._handle = handle
        self._silence_s = silence_s
        self._taken = bytearray()

    def read(self) -> Frame | None:
        """The next frame; None where the pipe was closed between two frames.

        Returns:
            Arrays that share no memory with the reader.

        Raises:
            FrameError: torn, or no frame.
            SilenceError: nothing came for too long.
        """
        while (end := self._taken.find(b"\n")) < 0:
            if len(self._taken) > _LONGEST_HEAD_BYTES:
                raise FrameError("a line without an end")
            if not self._more():
                if not self._taken:
                    return None
                raise FrameError("the pipe was closed within a line")
        line = bytes(self._taken[:end])
        del self._taken[: end + 1]
        head, shapes = _parse(line)
        return Frame(head, {name: self._array(*told) for name, told in shapes.items()})

    def _array(self, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        while len(self._taken) < size:
            if not self._more():
                raise FrameError("the pipe was closed within an array")
        found = np.frombuffer(bytes(self._taken[:size]), dtype).reshape(shape)
        del self._taken[:size]
        return found

    def _more(self) -> bool:
        """Wait for bytes and take them; False at the end of the pipe."""
        _wait(self._handle, select.POLLIN, self._silence_s)
        found = os.read(self._handle, _READ_BYTES)
        self._taken += found
        return bool(found)


def write_frame(
    handle: int,
    head: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]] | None = None,
    silence_s: float | None = None,
) -> None:
    """Write one frame.

    Args:
        handle: the file descriptor; with a longest wait it must not block.
        head: JSON values.
        arrays: of the types that a frame may hold: int32, float32, float64, bytes.
        silence_s: the longest wait for the other side to take some; None waits for ever.

    Raises:
        SilenceError: nothing was taken for too long.
    """
    arrays = arrays or {}
    shapes = {name: [one.dtype.str, list(one.shape)] for name, one in arrays.items()}
    line = json.dumps({**head, "arrays": shapes}, allow_nan=False).encode() + b"\n"
    parts = [line, *(np.ascontiguousarray(one).tobytes() for one in arrays.values())]
    left = memoryview(b"".join(parts))
    while left:
        _wait(handle, select.POLLOUT, silence_s)
        left = left[os.write(handle, left) :]


def _parse(line: bytes) -> tuple[dict[str, Any], dict[str, tuple[str, tuple[int, ...]]]]:
    try:
        head = json.loads(line)
        told = head.pop("arrays")
        shapes = {str(name): (str(one[0]), tuple(map(int, one[1]))) for name, one in told.items()}
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise FrameError(f"no frame: {line[:60]!r}") from error
    for dtype, shape in shapes.values():
        size = math.prod(shape)
        if dtype not in _DTYPES or min(shape, default=0) < 0 or size > _LARGEST_ARRAY_BYTES // 8:
            raise FrameError(f"no array of {dtype} {shape}")
    return head, shapes


def _wait(handle: int, event: int, silence_s: float | None) -> None:
    if silence_s is None:
        return  # the descriptor blocks by itself
    looker = select.poll()
    looker.register(handle, event)
    end = time.monotonic() + silence_s
    while (left := end - time.monotonic()) > 0:
        if looker.poll(max(1, math.ceil(left * 1000))):
            return
    raise SilenceError(f"nothing for {silence_s:g} s")
