"""Which library multiplies float32 matrices on this processor, and in how many bits.

torch's own choice (MKL) is left where oneDNN, the other library in it, is clearly faster. oneDNN is
reached by allowing it to round to bfloat16; whether it does is up to the processor, so one product
is looked at: with AMX it rounds, with AVX-512 BF16 alone it multiplies in float32.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor

Way = Literal["default", "onednn float32", "onednn bfloat16"]

_PROBE_ROWS, _PROBE_WIDTH, _PROBE_COLUMNS = 128, 256, 8192
_PROBE_GAIN = 1.3
"""measured: 2.4 with AMX, 1.0 where the processor has no bfloat16 products; rounding to 8 bits
must buy something."""
_ROUNDED = 1e-4
"""Norm-relative error of a product that was rounded; measured: 3e-3, and 3e-7 in float32."""
_WORTH_IT = 4 << 20
"""Multiplications from which oneDNN is asked.

measured: AMD EPYC with AVX-512 BF16, one thread: a fifth to two thirds of the default's speed below
half a million, 1.5 to 2.7 times it from four million on.
"""


@functools.cache
def onednn_offers(device: str) -> Way:
    """The way of oneDNN that is clearly faster here than torch's default.

    The processor is asked, and the error of a product looked at, so that every process of a run
    and every resume answers alike; only where torch knows nothing of the processor is a product
    timed, once a process.

    Args:
        device: type of a device, such as cpu.

    Returns:
        `onednn bfloat16` where it rounds and gains by it; `onednn float32` where it does not round
        and the default is slow, on AMD's processors with AVX-512 BF16; else `default`, as always
        but on the CPU: other devices take narrow tensors themselves.
    """
    if device != "cpu" or not torch.backends.mkldnn.is_available():
        return "default"
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    # The first loss may run under autocast, which would narrow what is looked at.
    with torch.autocast(device, enabled=False):
        if _rounds():
            can = "avx512_bf16" not in known and _gains()
            gains = can or known.get("avx512_bf16") or known.get("amx_bf16")
            return "onednn bfloat16" if gains else "default"
    is_amd = str(known.get("cpu_name", "")).startswith("AMD")
    return "onednn float32" if is_amd and known.get("avx512_bf16") else "default"


def multiplied(way: Way, multiplications: int) -> AbstractContextManager[None]:
    """A context for one product of so many multiplications."""
    is_small = way == "onednn float32" and multiplications < _WORTH_IT
    return nullcontext() if way == "default" or is_small else onednn_may_round()


@contextmanager
def onednn_may_round() -> Iterator[None]:
    """Float32 products on the CPU go to oneDNN, which may round their inputs to bfloat16."""
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def _rounds() -> bool:
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(_PROBE_ROWS, _PROBE_WIDTH, generator=generator)
    right = torch.randn(_PROBE_WIDTH, _PROBE_WIDTH, generator=generator)
    exact = left.double() @ right.double()
    with onednn_may_round():
        error = (left @ right).double().sub_(exact)
    return bool(error.norm() > _ROUNDED * exact.norm())


def _gains() -> bool:
    left = torch.ones(_PROBE_ROWS, _PROBE_WIDTH)
    right = torch.ones(_PROBE_COLUMNS, _PROBE_WIDTH).T
    out = torch.empty(_PROBE_ROWS, _PROBE_COLUMNS)
    fastest = []
    for context in (nullcontext(), onednn_may_round()):
        with context:
            fastest.append(min(_seconds(left, right, out) for _ in range(7)))
    return fastest[0] > _PROBE_GAIN * fastest[1]


def _seconds(left: Tensor, right: Tensor, out: Tensor) -> float:
    start = time.process_time()
    torch.mm(left, right, out=out)
    return time.process_time() - start
