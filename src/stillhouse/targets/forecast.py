"""How large a store of targets will be, before anything is scored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

BYTES_PER_EXAMPLE = 105
"""measured: two hexadecimal sha256 digests, compressed, lengths and counts, and a part of the
row group's own bookkeeping at 30 rows a group; the example id comes on top."""
BYTES_PER_SHARD = 2000
"""measured: models of 1.2 to 3.2 KB at 2,000 tokens a shard, by codec and text; what grows with
the shard is in the bytes of its tokens."""

# measured on real text: teachers of 3.0 to 7.0 nats over 151,936 tokens (K of 1 to 128, 50 and 24
# draws) and over 400 and 2,000 tokens (K to 256, whole), shards of 10,000 tokens and more. The
# middle is that of the surest; 200 tokens alone cost a third more, because models do not pay.
_REST = 3.0
"""Observed token and log-probability, byte span, tail, the position's kind."""
_LOG_Z = 1.0
"""A kd_temperature that is not 1."""
_WHOLE_BITS = 9.2
"""An entry of a whole vocabulary."""
_KEPT_BITS, _KEPT_BITS_PER_OCTAVE = 9.3, 0.13
"""A kept entry, id and level, and more of both for each doubling of the vocabulary."""
_DRAWN_BITS, _DRAWN_BITS_PER_OCTAVE = 2.3, 0.5
"""A distinct drawn token with its count."""
_DISTINCT, _DISTINCT_IN_TAIL = 0.70, 0.95
"""Of n draws n ** this are distinct: 15 of 50 from all, 20 of 24 from the tail of 16."""
_UNSURE = 2.6
"""Times as many are distinct from an unsure teacher; never more than are drawn."""


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
    """Bytes of disk that one answer token needs; `store_bytes` adds what comes on top.

    Args:
        codec: of the store's header.
        top_k: kept teacher entries.
        num_draws: tokens drawn beside them.
        vocab_size: of the teacher.
        kd_temperatures: declared; 1 is free.

    Returns:
        The estimate with its range.
    """
    octaves = math.log2(vocab_size)
    entry_bits = _WHOLE_BITS if codec == "full" else _KEPT_BITS + _KEPT_BITS_PER_OCTAVE * octaves
    kept = _REST + min(top_k, vocab_size) * entry_bits / 8
    kept += _LOG_Z * sum(temperature != 1.0 for temperature in kd_temperatures)
    distinct = min(num_draws ** (_DISTINCT_IN_TAIL if top_k else _DISTINCT), vocab_size)
    most = min(_UNSURE * distinct, num_draws, vocab_size)
    each = (_DRAWN_BITS + _DRAWN_BITS_PER_OCTAVE * octaves) / 8
    return TokenBytes(
        low=0.7 * kept + 0.6 * distinct * each,
        middle=kept + distinct * each,
        high=1.4 * kept + max(most, 1.3 * distinct) * each,
    )


def store_bytes(per_token: float, *, tokens: int, examples: int, shard_examples: int) -> float:
    """Bytes of disk that a whole store needs, without the ids of its examples.

    Args:
        per_token: of `bytes_per_token`.
        tokens: answer tokens of all examples.
        examples: in the store.
        shard_examples: examples a shard.

    Returns:
        The estimate.
    """
    shards = math.ceil(examples / shard_examples)
    return tokens * per_token + examples * BYTES_PER_EXAMPLE + shards * BYTES_PER_SHARD
