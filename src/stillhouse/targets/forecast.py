"""How large a store of targets will be, before anything is scored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Two hexadecimal sha256 digests, compressed, lengths and counts; measured: 95 bytes with 64 rows a
# group, the example id aside. Larger examples share a group, 0.9 kB, with fewer others.
BYTES_PER_EXAMPLE = 95

_LOW, _HIGH = 0.6, 1.4
"""measured: how far real text lay from the middle; what a teacher repeats costs less."""


@dataclass(frozen=True, slots=True)
class TokenBytes:
    """What one answer token costs on disk; entropy coding makes it depend on the text.

    Attributes:
        low: for a sure teacher and text that repeats itself.
        middle: to plan with.
        high: for an unsure teacher.
    """

    low: float
    middle: float
    high: float


def bytes_per_token(
    *,
    codec: str = "top_k",
    top_k: int,
    num_draws: int = 0,
    vocab_size: int,
    kd_temperatures: Sequence[float] = (1.0,),
) -> TokenBytes:
    """Bytes of disk that one answer token needs; `BYTES_PER_EXAMPLE` and ids come on top.

    Args:
        codec: of the store's header.
        top_k: kept teacher entries.
        num_draws: tokens drawn beside them.
        vocab_size: of the teacher.
        kd_temperatures: declared; 1 is free.

    Returns:
        The estimate with its range.
    """
    entries = vocab_size if codec == "full" else min(top_k, vocab_size)
    id_bits = 0.0 if codec == "full" else 0.55 * math.log2(vocab_size)
    level_bits = 5.0 if codec == "full" else 2.5
    distinct = min(num_draws, vocab_size) ** 0.7
    bits = entries * (id_bits + level_bits) + distinct * (id_bits + 2.0)
    rest = 3.0 + 1.2 * sum(temperature != 1.0 for temperature in kd_temperatures)
    middle = rest + bits / 8
    return TokenBytes(_LOW * middle, middle, _HIGH * middle)
