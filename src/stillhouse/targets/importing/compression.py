"""How DistillKit packs the log-probabilities of one position, and back from the bytes.

Of the k entries, likeliest first, `exact_k` are stored as they are; the others as a polynomial
in their place, to which bins of quantised residuals are added. Token ids are one stream of
bits, highest bit first.

Legend: N positions, K kept entries, B bytes of a position.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Stored = Literal["float16", "bfloat16", "float32", "float64"]
_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
_MOST_BITS = 64


class ResidualBin(BaseModel):
    """Residuals that share one scale.

    Attributes:
        scale_dtype: of the scale.
        element_bits: of one residual.
        num_elements: how many; bins follow each other.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale_dtype: Stored
    element_bits: int = Field(ge=1, le=_MOST_BITS)
    num_elements: int = Field(ge=1)

    @property
    def num_bytes(self) -> int:
        """Of the scale and the residuals, of one position."""
        return _BYTES[self.scale_dtype] + _packed_bytes(self.num_elements, self.element_bits)


class Compression(BaseModel):
    """DistillKit's `logprob_compressor`, as it stands in `compression_config.yaml`.

    Attributes:
        d: the vocabulary; decides the bits of an id.
        k: kept entries.
        exact_k: of these, stored as they are.
        exact_dtype: in which.
        polynomial_terms: whole powers, `sqrt` and `exp`, of the place among the other entries.
        term_dtype: of their factors.
        residual_bins: what is added to the first of the other entries.
        delta_encoding: each entry is stored as its difference to the one before.
        error_diffusion: how residuals were rounded; reading does not depend on it.
        normalize_t: places run from 0 to 1 instead of 0, 1, 2, ...
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    d: int = Field(ge=2)
    k: int = Field(ge=1)
    exact_k: int = Field(ge=0)
    exact_dtype: Stored = "float32"
    polynomial_terms: tuple[Annotated[int, Field(ge=0)] | Literal["sqrt", "exp"], ...] | None = None
    term_dtype: Stored = "float32"
    residual_bins: tuple[ResidualBin, ...]
    delta_encoding: bool = True
    error_diffusion: bool = False
    normalize_t: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        others = self.k - self.exact_k
        if others < 0:
            raise ValueError(f"exact_k is {self.exact_k}, more than k, {self.k}")
        if others and not self.polynomial_terms and not self.residual_bins:
            raise ValueError("exact_k is below k, so polynomial_terms or residual_bins are needed")
        if sum(item.num_elements for item in self.residual_bins) > others:
            raise ValueError(f"residual_bins hold more than the {others} entries beyond exact_k")
        return self

    @property
    def index_bits(self) -> int:
        """Of one token id."""
        # DistillKit takes the logarithm in float32; it matters next to a power of two alone.
        return int(np.ceil(np.log2(np.float32(self.d))))

    @property
    def index_bytes(self) -> int:
        """Of the ids of one position."""
        return _packed_bytes(self.k, self.index_bits)

    @property
    def logprob_bytes(self) -> int:
        """Of the log-probabilities of one position."""
        terms = len(self.polynomial_terms or ())
        exact = self.exact_k * _BYTES[self.exact_dtype] + terms * _BYTES[self.term_dtype]
        return exact + sum(item.num_bytes for item in self.residual_bins)


def _packed_bytes(count: int, bits: int) -> int:
    return math.ceil(count * bits / 8)


def unpack_ids(compression: Compression, packed_NB: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The token ids of each position.

    Args:
        compression: how they were packed.
        packed_NB: (N, B), B being `compression.index_bytes`.

    Returns:
        (N, K), likeliest first.
    """
    return _unpack(packed_NB, compression.index_bits, compression.k).astype(np.int64)


def unpack_logprobs(compression: Compression, packed_NB: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The log-probabilities of each position.

    Args:
        compression: how they were packed.
        packed_NB: (N, B), B being `compression.logprob_bytes`.

    Returns:
        (N, K), nats; the entries beyond `exact_k` are approximate and need not be sorted.
    """
    reading = _Reading(packed_NB)
    exact = reading.floats(compression.exact_k, compression.exact_dtype)
    terms = compression.polynomial_terms or ()
    factors = reading.floats(len(terms), compression.term_dtype)
    others = compression.k - compression.exact_k
    approximate = np.zeros((len(packed_NB), others))
    if terms and others:
        places = np.linspace(0, 1, others) if compression.normalize_t else np.arange(float(others))
        approximate += factors @ np.stack([_term(places, term) for term in terms])
    start = 0
    for item in compression.residual_bins:
        scale = reading.floats(1, item.scale_dtype)
        packed = reading.take(_packed_bytes(item.num_elements, item.element_bits))
        steps = _unpack(packed, item.element_bits, item.num_elements).astype(np.float64)
        if item.element_bits == 1:
            steps = 2 * steps - 1
        else:
            steps -= 2.0 ** (item.element_bits - 1)
        approximate[:, start : start + item.num_elements] += steps * scale
        start += item.num_elements
    found = np.concatenate([exact, approximate], axis=1)
    return np.cumsum(found, axis=1) if compression.delta_encoding else found


def _term(places: NDArray[np.float64], term: int | str) -> NDArray[np.float64]:
    if term == "sqrt":
        return np.sqrt(places)
    if term == "exp":
        return np.exp(places)
    powers: NDArray[np.float64] = places ** int(term)
    return powers


class _Reading:
    """Takes columns of bytes from the left, the same number of each position."""

    def __init__(self, packed_NB: NDArray[np.uint8]) -> None:
        self._left = packed_NB

    def take(self, num_bytes: int) -> NDArray[np.uint8]:
        taken, self._left = self._left[:, :num_bytes], self._left[:, num_bytes:]
        return np.ascontiguousarray(taken)

    def floats(self, count: int, dtype: Stored) -> NDArray[np.float64]:
        taken = self.take(count * _BYTES[dtype])
        if dtype == "bfloat16":
            # The upper half of a float32.
            wide = taken.view("<u2").astype(np.uint32) << np.uint32(16)
            return wide.view(np.float32).reshape(len(taken), count).astype(np.float64)
        code = f"<f{_BYTES[dtype]}"
        return taken.view(code).reshape(len(taken), count).astype(np.float64)


def _unpack(packed_NB: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint64]:
    """(N, count) numbers of so many bits each, the highest bit first."""
    stream = np.unpackbits(packed_NB, axis=1)[:, : count * bits]
    found = np.zeros((len(packed_NB), count), np.uint64)
    for place in range(bits):
        found = (found << np.uint64(1)) | stream[:, place::bits].astype(np.uint64)
    return found


def describe_fields() -> dict[str, Any]:
    """Every field of a compression, with the default of those that have one."""
    return {
        name: "needed" if field.is_required() else field.default
        for name, field in Compression.model_fields.items()
    }
