"""What a bundle takes on disk, and what is asked of llama.cpp on the way."""

from __future__ import annotations

from dataclasses import dataclass

from stillhouse.recipes.measuring import Export

BITS = {"f32": 32.0, "bf16": 16.0, "f16": 16.0, "q8_0": 8.5, "q4_k_m": 4.85}
"""Bits a weight in a GGUF file. paper: ggml's blocks of 34 bytes for 32 weights, and llama.cpp's
table of quantisations, where q4_k_m of an 8 B model has 4.85."""

_FLOAT32 = 4
"""What ships whole is written as it was trained."""


@dataclass(frozen=True, slots=True)
class BundleBytes:
    """Bytes of a bundle.

    Attributes:
        ships: what stays on disk.
        passing: what lies there for a while besides.
        gguf: of the GGUF files, which llama.cpp reads once more each.
    """

    ships: int
    passing: int
    gguf: int


def bundle_bytes(export: Export, parameters: int, weight_bytes: float) -> BundleBytes:
    """What an export writes.

    Args:
        export: what is asked.
        parameters: of the student.
        weight_bytes: a weight of the merged folder.

    Returns:
        Bytes; adapters are left out, which are a hundredth of it.
    """
    whole = parameters * weight_bytes
    files = export.gguf_files
    kinds = files.weights if files and "gguf" in export.formats else ()
    gguf = sum(parameters * BITS[kind] / 8 for kind in kinds)
    passing = 0.0 if "merged" in export.formats or not kinds else whole
    # llama.cpp quantises a file of float32, and an adapter is proved on such a file.
    if "q4_k_m" in kinds or "gguf_adapter" in export.formats:
        passing += parameters * _FLOAT32
    ships = gguf + (whole if "merged" in export.formats or not kinds else 0.0)
    return BundleBytes(round(ships), round(passing), round(gguf))
