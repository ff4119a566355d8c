"""How large a store of targets will be, before anything is scored."""

from __future__ import annotations

from stillhouse.targets.codec import CODECS

# Two hexadecimal sha256 digests, the columns' lengths and counts; measured: 191 bytes with 64
# rows a group, the example id aside. Larger examples share a group, 0.9 kB, with fewer others.
BYTES_PER_EXAMPLE = 191


def bytes_per_token(top_k: int, num_temperatures: int, codec: str = "plain") -> int:
    """Bytes of disk that one answer token needs.

    Args:
        top_k: kept teacher entries.
        num_temperatures: declared kd_temperatures.
        codec: how arrays are packed.

    Returns:
        16 + 8 * top_k + 4 * num_temperatures for `plain`; `BYTES_PER_EXAMPLE` and the length of
        its id come on top for each example.
    """
    total = 0
    for column in CODECS[codec]:
        _, *width = column.shape(1, top_k, num_temperatures)
        total += int(column.dtype[-1]) * (width[0] if width else 1)
    return total
