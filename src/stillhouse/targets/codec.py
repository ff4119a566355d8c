"""Arrays of targets as packed bytes, one row an example.

Legend: P answer tokens of one example, K kept teacher entries, D declared kd_temperatures.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stillhouse.core.errors import ShapeError, StillhouseError
from stillhouse.core.targets import TargetKey, TokenTargets


@dataclass(frozen=True, slots=True)
class Column:
    """One packed array.

    Attributes:
        name: of the array in `TokenTargets`.
        dtype: little-endian.
        width: numbers a token: "", "2", "K" or "D"; empty for one number, without an axis.
    """

    name: str
    dtype: str
    width: str

    def shape(self, num_tokens: int, top_k: int, num_temperatures: int) -> tuple[int, ...]:
        """Of the array of one example."""
        widths = {"": (), "2": (2,), "K": (top_k,), "D": (num_temperatures,)}
        return (num_tokens, *widths[self.width])


PLAIN = (
    Column("token_ids", "<i4", ""),
    Column("byte_offsets", "<i4", "2"),
    Column("observed_logprobs", "<f4", ""),
    Column("top_ids", "<i4", "K"),
    Column("top_logprobs", "<f4", "K"),
    Column("log_z", "<f4", "D"),
)
CODECS = {"plain": PLAIN}
_KEY = ("example_id", "completion_digest", "view_digest")


def pack(targets: TokenTargets, top_k: int, num_temperatures: int) -> dict[str, Any]:
    """One example's targets as the values of a stored row.

    Args:
        targets: of one example.
        top_k: K, as the header says.
        num_temperatures: D, as the header says.

    Returns:
        Column name to value, `crc32` over all the others among them.

    Raises:
        ShapeError: an array has not the shape that the header demands.
        StillhouseError: an array holds NaN.
    """
    num_tokens = len(targets.token_ids)
    row: dict[str, Any] = {name: getattr(targets.key, name) for name in _KEY}
    row |= {"num_tokens": num_tokens, "top_k": top_k}
    for column in PLAIN:
        values = np.asarray(getattr(targets, column.name))
        wanted = column.shape(num_tokens, top_k, num_temperatures)
        if values.shape != wanted:
            raise ShapeError(
                f"{column.name} of example {targets.key.example_id} has the shape "
                f"{values.shape}; {wanted} is wanted"
            )
        if np.isnan(values).any():
            raise StillhouseError(
                f"{column.name} of example {targets.key.example_id} holds NaN",
                "the teacher overflowed: score it in float32 or bfloat16",
            )
        row[column.name] = np.ascontiguousarray(values, dtype=column.dtype).tobytes()
    row["crc32"] = checksum(row)
    return row


def unpack(row: Mapping[str, Any], num_temperatures: int) -> TokenTargets:
    """The targets of a stored row, with arrays of their own that may be written to.

    Args:
        row: column name to value, as `pack` made it; its checksum was compared before.
        num_temperatures: D, as the header says.

    Returns:
        Arrays of the shapes that `TokenTargets` states.
    """
    num_tokens, top_k = int(row["num_tokens"]), int(row["top_k"])
    arrays = {}
    for column in PLAIN:
        packed = np.frombuffer(row[column.name], dtype=column.dtype)
        values = packed.astype(packed.dtype.newbyteorder("="))  # copied, so writable
        arrays[column.name] = values.reshape(column.shape(num_tokens, top_k, num_temperatures))
    return TokenTargets(key=TargetKey(*(str(row[name]) for name in _KEY)), **arrays)


def checksum(row: Mapping[str, Any]) -> int:
    """crc32 over a row's key, sizes and packed arrays."""
    sizes = "\0".join(str(row[name]) for name in (*_KEY, "num_tokens", "top_k"))
    state = zlib.crc32(sizes.encode())
    for column in PLAIN:
        state = zlib.crc32(row[column.name], state)
    return state
