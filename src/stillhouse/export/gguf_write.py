"""A GGUF file written whole or not at all, tensor by tensor."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import gguf
import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import ModelError
from stillhouse.core.files import disk_full_is_clear, sync_folder, temporary_beside

Weights = Literal["f32", "bf16", "f16", "q8_0"]
"""How weight matrices are stored; vectors are float32 always."""

_STORED = {
    "f32": gguf.GGMLQuantizationType.F32,
    "bf16": gguf.GGMLQuantizationType.BF16,
    "f16": gguf.GGMLQuantizationType.F16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
}
FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "bf16": gguf.LlamaFileType.MOSTLY_BF16,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}

_NUMBERS_AT_ONCE = 1 << 22
"""assumption: 16 MB of float32 are turned into what is stored at a time."""

_LARGEST_F16 = 65504.0
"""paper: IEEE 754 binary16."""


@dataclass(frozen=True, slots=True)
class TensorToWrite:
    """One tensor.

    Attributes:
        name: in the file.
        shape: (out, in), or (out,).
        is_float32: stored so, whatever the file's weights are.
        read: its numbers; called once, when it is its turn.
    """

    name: str
    shape: tuple[int, ...]
    is_float32: bool
    read: Callable[[], NDArray[np.float32]]


def write_tensors(
    writer: gguf.GGUFWriter, path: Path, tensors: Iterable[TensorToWrite], weights: Weights
) -> None:
    """Write a file: what the writer was told, then the tensors.

    Args:
        writer: told all that is no tensor; opened on no file yet.
        path: replaced by the whole file, or left as it is.
        tensors: in the order of the file.
        weights: how their matrices are stored.

    Raises:
        ModelError: a number is not finite, or too large for float16.
        DiskFullError: there is no room for it.
    """
    listed = list(tensors)
    kinds = [stored_as(tensor, weights) for tensor in listed]
    for tensor, kind in zip(listed, kinds, strict=True):
        size = _num_bytes(tensor.shape, kind)
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), size, kind)
    temporary = temporary_beside(path)
    with disk_full_is_clear(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(writer, temporary, list(zip(listed, kinds, strict=True)))
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def stored_as(tensor: TensorToWrite, weights: Weights) -> gguf.GGMLQuantizationType:
    """How a tensor is stored: rows that no block of 32 fills are float16 in a `q8_0` file."""
    if tensor.is_float32 or len(tensor.shape) < 2:
        return gguf.GGMLQuantizationType.F32
    kind = _STORED[weights]
    block, _ = gguf.GGML_QUANT_SIZES[kind]
    return kind if tensor.shape[-1] % block == 0 else gguf.GGMLQuantizationType.F16


def add_facts(writer: gguf.GGUFWriter, facts: Mapping[str, int | float | str], prefix: str) -> None:
    """Tell the writer values by their keys."""
    for key, value in facts.items():
        if isinstance(value, str):
            writer.add_string(f"{prefix}.{key}", value)
        elif isinstance(value, float):
            writer.add_float32(f"{prefix}.{key}", value)
        else:
            writer.add_uint32(f"{prefix}.{key}", value)


def _write(
    writer: gguf.GGUFWriter,
    path: Path,
    tensors: list[tuple[TensorToWrite, gguf.GGMLQuantizationType]],
) -> None:
    try:
        writer.write_header_to_file(path)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        assert writer.fout is not None
        (stream,) = writer.fout
        writer.write_padding(stream, stream.tell())
        for tensor, kind in tensors:
            # Not through NumPy's tofile, which hides that the disk is full.
            start = stream.tell()
            for part in _parts(tensor, kind):
                stream.write(part.tobytes())
            writer.write_padding(stream, stream.tell() - start)
        stream.flush()
        os.fsync(stream.fileno())
    finally:
        writer.close()


def _parts(tensor: TensorToWrite, kind: gguf.GGMLQuantizationType) -> Iterable[NDArray[np.generic]]:
    values = tensor.read()
    if values.shape != tensor.shape:
        raise ModelError(
            f"{tensor.name} has the shape {values.shape}, its file says {tensor.shape}",
            "the weights changed while they were written: export again",
        )
    rows = values.reshape(-1, values.shape[-1])
    step = max(1, _NUMBERS_AT_ONCE // values.shape[-1])
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        _require_range(tensor.name, part, kind)
        yield gguf.quants.quantize(part, kind)


def _require_range(name: str, values: NDArray[np.float32], kind: gguf.GGMLQuantizationType) -> None:
    largest = float(np.abs(values).max(initial=0.0))  # NaN stays NaN
    if not np.isfinite(largest):
        raise ModelError(f"{name} holds numbers that are not finite", "train the student again")
    if kind == gguf.GGMLQuantizationType.F16 and largest > _LARGEST_F16:
        raise ModelError(
            f"{name} holds {largest:.4g}, and float16 ends at {_LARGEST_F16:g}",
            "write bf16 or f32",
        )


def _num_bytes(shape: tuple[int, ...], kind: gguf.GGMLQuantizationType) -> int:
    block, size = gguf.GGML_QUANT_SIZES[kind]
    return int(np.prod(shape, dtype=np.int64)) // block * size
