"""Bytes of a linear layer's weights in 8 or 4 bits, as bitsandbytes lays them out.

In 8 bits a weight is a byte and each row has a scale in float32. In 4 bits (nf4, doubly quantised)
two weights share a byte, 64 weights a scale of one byte, and 256 of those a scale in float32; a
table of 16 and one of 256 values in float32 and an offset come with each layer.
Source: Dettmers et al. 2023, arXiv:2305.14314, sections 2 and 3.
"""

from __future__ import annotations

_BLOCK, _BLOCKS, _TABLES = 64, 256, 4 * (16 + 256 + 1)


def quantised_bytes(quantization: str, rows: int, columns: int) -> int:
    """Bytes of one matrix; its bias and whatever is no linear layer keep their own dtype.

    Args:
        quantization: `int8` or `nf4`.
        rows: of the matrix.
        columns: of the matrix.

    Returns:
        Exactly what bitsandbytes holds.
    """
    weights = rows * columns
    if quantization == "int8":
        return weights + 4 * rows
    scales = _parts(weights, _BLOCK)
    return _parts(weights, 2) + scales + 4 * _parts(scales, _BLOCKS) + _TABLES


def _parts(whole: int, size: int) -> int:
    return -(-whole // size)
