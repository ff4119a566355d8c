"""Memory that a training gives back at once, where it was asked to spare memory.

glibc keeps freed blocks below 32 MB for later, between others that are in use, and a training on a
CPU then holds half as much again as its tensors need. Blocks that are mapped by themselves go back
when they are freed; each costs the time to ask for its pages anew.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of malloc.h."""
_LARGE, _USUAL = 1 << 20, 32 << 20
"""What is mapped by itself inside; and the highest that glibc raises the threshold to by itself."""


@contextmanager
def sparing_heap() -> Iterator[None]:
    """Blocks of a megabyte and more are given back as soon as they are freed; else as usual.

    Where the C library has no such setting, nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        yield
        return
    mallopt(_MMAP_THRESHOLD, _LARGE)
    try:
        yield
    finally:
        mallopt(_MMAP_THRESHOLD, _USUAL)
