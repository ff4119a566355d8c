"""What the head of a GGUF file says, read within bounds: nothing in a file is believed.

llama.cpp and the package `gguf` trust counts and lengths; a file that lies about them ends the one
and keeps the other busy for hours. Here every count is held against the bytes that are there.

Source: the GGUF format, version 3, of ggml's documentation.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from stillhouse.core.errors import ModelError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_LONGEST_NAME_BYTES = 1 << 16  # paper: keys have at most 65,535 bytes
_MOST_DIMENSIONS = 4  # paper: ggml.h, `GGML_MAX_DIMS`
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q",
            11: "<q", 12: "<d"}  # fmt: skip
_STRING, _ARRAY = 8, 9
_SMALLEST_TENSOR_BYTES = 32
"""Of a tensor's entry: the length of its name, its dimensions, kind and offset."""

_KINDS = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4),
    27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36),
}  # fmt: skip
"""Number -> name, numbers and bytes of a block. paper: ggml.h, `ggml_type`."""

_MEND = "it is cut off or damaged: make or download it again"


@dataclass(frozen=True, slots=True)
class GgufHead:
    """What a file says of itself.

    Attributes:
        facts: key -> number, text, or for a list how many entries it has.
        shapes: tensor -> shape, (out, in).
        kinds: tensor -> number of its `ggml_type`.
        sizes: tensor -> bytes; of a kind that is not known here up to the next tensor.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def num_parameters(self) -> int:
        """Of all tensors together."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def bytes_by_kind(self) -> dict[str, int]:
        """What the tensors of each kind take."""
        found: dict[str, int] = {}
        for name, kind in self.kinds.items():
            label = _KINDS[kind][0] if kind in _KINDS else f"kind {kind}"
            found[label] = found.get(label, 0) + self.sizes[name]
        return dict(sorted(found.items()))

    @property
    def architecture(self) -> str:
        """Of the model; empty where the file says none."""
        return str(self.facts.get("general.architecture", ""))


def read_gguf_head(path: Path) -> GgufHead:
    """The head of a file, and a look whether all of its tensors are in it.

    Args:
        path: of the file.

    Returns:
        What it says.

    Raises:
        ModelError: it is no GGUF file, is cut off, or says what cannot be.
    """
    if not path.is_file():
        raise ModelError(f"there is no file {path}", "check the path of the GGUF file")
    with path.open("rb") as stream:
        try:
            return _Reader(stream, path.stat().st_size).read()
        except _DamagedError as error:
            raise ModelError(f"{path} is no whole GGUF file: {error}", _MEND) from None


class _DamagedError(Exception):
    """What a file says cannot be."""


class _Reader:
    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._size = size
        self._head = GgufHead()

    def read(self) -> GgufHead:
        opening = self._stream.read(4)
        if opening != _MAGIC:
            raise _DamagedError(f"it opens with {opening!r}, not {_MAGIC!r}")
        version = self._number("<I")
        if version not in _VERSIONS:
            raise _DamagedError(f"its version is {version}; {_VERSIONS} are known")
        num_tensors = self._count(_SMALLEST_TENSOR_BYTES, "tensors")
        num_facts = self._count(13, "keys")  # a length, a kind and one byte
        for _ in range(num_facts):
            name = self._text(_LONGEST_NAME_BYTES)
            self._add(self._head.facts, name, self._value(self._number("<I")))
        offsets = [self._tensor() for _ in range(num_tensors)]
        self._require_data(offsets)
        return self._head

    def _tensor(self) -> tuple[str, int]:
        name = self._text(_LONGEST_NAME_BYTES)
        num_dimensions = self._number("<I")
        if not 0 < num_dimensions <= _MOST_DIMENSIONS:
            raise _DamagedError(f"the tensor {name!r} has {num_dimensions} dimensions")
        shape = tuple(self._number("<Q") for _ in range(num_dimensions))[::-1]
        self._add(self._head.shapes, name, shape)
        self._head.kinds[name] = self._number("<I")
        return name, self._number("<Q")

    def _require_data(self, offsets: list[tuple[str, int]]) -> None:
        """Every tensor ends inside the file."""
        alignment = self._head.facts.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise _DamagedError(f"its alignment is {alignment!r}")
        start = -(-self._stream.tell() // alignment) * alignment
        starts = sorted({offset for _, offset in offsets})
        nexts = dict(zip(starts, [*starts[1:], max(0, self._size - start)], strict=True))
        for name, offset in offsets:
            size = self._sized(name)
            self._head.sizes[name] = nexts[offset] - offset if size is None else size
            end = start + offset + (size or 0)
            if end > self._size:
                raise _DamagedError(
                    f"the tensor {name!r} ends at byte {end}, the file at {self._size}"
                )

    def _sized(self, name: str) -> int | None:
        """Bytes of a tensor; None of a kind that is not known here."""
        kind = self._head.kinds[name]
        if kind not in _KINDS:
            return None
        _, numbers, size = _KINDS[kind]
        return math.prod(self._head.shapes[name]) // numbers * size

    def _add(self, entries: dict[str, Any], name: str, value: Any) -> None:
        if name in entries:
            raise _DamagedError(f"{name!r} is there twice")
        entries[name] = value

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text(self._size)
        if kind == _ARRAY:
            return self._skip_list()
        if kind not in _SCALARS:
            raise _DamagedError(f"a value is of the unknown kind {kind}")
        return self._number(_SCALARS[kind])

    def _skip_list(self) -> int:
        kind = self._number("<I")
        if kind == _STRING:
            count = self._count(8, "texts")
            for _ in range(count):
                self._take(self._count(1, "bytes"))
            return count
        if kind not in _SCALARS:
            raise _DamagedError(f"a list is of the unknown kind {kind}")
        width = struct.calcsize(_SCALARS[kind])
        count = self._count(width, "numbers")
        self._take(count * width)
        return count

    def _count(self, width: int, what: str) -> int:
        """A count of things that take so many bytes each at least, all of which must be there."""
        count = self._number("<Q")
        left = self._size - self._stream.tell()
        if count * width > left:
            raise _DamagedError(f"it says {count} {what}, and {left} bytes are left")
        return count

    def _text(self, longest: int) -> str:
        length = self._count(1, "bytes of a text")
        if length > longest:
            raise _DamagedError(f"a name has {length} bytes")
        return self._take(length).decode("utf-8", "replace")

    def _number(self, form: str) -> Any:
        (found,) = struct.unpack(form, self._take(struct.calcsize(form)))
        return found

    def _take(self, count: int) -> bytes:
        found = self._stream.read(count)
        if len(found) < count:
            raise _DamagedError(f"it ends at byte {self._size}, in the middle of its head")
        return found
