"""What a bundle takes on disk, and what is asked of llama.cpp on the way."""

from __future__ import annotations

from dataclasses import dataclass

from stillhouse.recipes.measuring import Export
from stillhouse.recipes.sizes import Sizes

BITS = {"f32": 32.0, "bf16": 16.0, "f16": 16.0, "q8_0": 8.5, "q4_k_m": 4.85, "mxfp4": 4.7}
"""Bits a weight in a GGUF file. paper: ggml's blocks of 34 bytes for 32 weights, and llama.cpp's
table of quantisations, where q4_k_m of an 8 B model has 4.85; mxfp4 of gpt-oss-20b with 91 % of
its weights in experts."""

_FLOAT32 = 4
"""What ships whole is written as it was trained."""


@dataclass(frozen=True, slots=True)
class BundleBytes:
    """Bytes of a bundle.

    Attributes:
        ships: what stays on disk.
        passing: what lies there for a while besides.
        gguf: of the GGUF files, which llama.cpp reads once more each.
        int8: of the form in 8 bits, which is loaded once more.
    """

    ships: int
    passing: int
    gguf: int
    int8: int = 0


@dataclass(frozen=True, slots=True)
class Adapter:
    """What ships of a student whose weights stay where they are.

    Attributes:
        num_weights: of the adapter, or of those of all domains.
        with_base: nobody else has the weights under it, so they ship too.
    """

    num_weights: int = 0
    with_base: bool = False


NO_ADAPTER = Adapter()


def bundle_bytes(export: Export, sizes: Sizes, adapter: Adapter = NO_ADAPTER) -> BundleBytes:
    """What an export writes.

    Args:
        export: what is asked.
        sizes: of the student.
        adapter: what ships where nothing is merged.

    Returns:
        Bytes; an adapter beside whole forms is left out, which is a hundredth of them.
    """
    parameters = sizes.parameters
    if export.is_adapter_alone:
        base = parameters * _FLOAT32 if adapter.with_base else 0
        return BundleBytes(adapter.num_weights * _FLOAT32 + base, 0, 0)
    whole = parameters * export.weight_bytes
    files = export.gguf_files
    kinds = files.weights if files and "gguf" in export.formats else ()
    gguf = sum(parameters * BITS[kind] / 8 for kind in kinds)
    int8 = int8_bytes(sizes) if export.int8_form else 0
    others = bool(kinds or int8)
    passing = 0.0 if "merged" in export.formats or not others else whole
    # llama.cpp quantises a file of float32, and an adapter is proved on such a file.
    if {"q4_k_m", "mxfp4"} & {*kinds} or "gguf_adapter" in export.formats:
        passing += parameters * _FLOAT32
    ships = gguf + int8 + (whole if "merged" in export.formats or not others else 0.0)
    return BundleBytes(round(ships), round(passing), round(gguf), int8)


def int8_bytes(sizes: Sizes) -> int:
    """Bytes of a student whose linear layers are in 8 bits, as torchao's tensors lie in a file.

    Args:
        sizes: of the student.

    Returns:
        A byte for each weight of the matrices, and for each row a scale in float32 and a byte; the
        rest in 16 bits.
    """
    rows = sizes.layers * sum(one.outputs for one in sizes.linears)
    rest = sizes.parameters - sizes.matrix_parameters
    return sizes.matrix_parameters + 5 * rows + 2 * rest
