"""Which tensors a GGUF file holds, and how each is made from a tensor of transformers.

A plan is made from names and shapes alone. A tensor is read, turned and written by itself, so that
a model of any size needs the memory of its largest tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from stillhouse.core.errors import ModelError
from stillhouse.export.gguf_architectures import ARCHITECTURES, Architecture, rotation_factors
from stillhouse.models.source import read_header, weight_files

_COMPUTED = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")
"""Ends of names of what transformers once saved beside the weights, and computes by itself."""

_HEAD = "lm_head.weight"
_FREQUENCIES = "rope_freqs.weight"

ALWAYS_FLOAT32 = ("position_embd.weight", _FREQUENCIES)
"""Besides vectors: llama.cpp adds or divides by them in float32."""


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """One tensor of the file.

    Attributes:
        name: in the file.
        shape: as NumPy has it, (out, in).
        source: its name in the model; empty for one that is computed.
        file: where `source` lies.
    """

    name: str
    shape: tuple[int, ...]
    source: str
    file: Path | None


class TensorPlan:
    """The tensors of one model.

    Args:
        folder: of the model.
        config: its `config.json`.

    Raises:
        ModelError: a tensor has no place in the file, or the head is missing.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._config = config
        self._kind: Architecture = ARCHITECTURES[config["model_type"]]
        self._names = tensor_names(config)
        self.tensors = [*self._computed(), *self._stored(folder)]

    def read(self, tensor: PlannedTensor) -> NDArray[np.float32]:
        """One tensor as it is written, of its planned shape."""
        if tensor.file is None:
            factors = rotation_factors(self._config)
            assert factors is not None
            return factors
        with safe_open(str(tensor.file), framework="pt") as stored:
            found = stored.get_tensor(tensor.source)
        values: NDArray[np.float32] = found.to(torch.float32).numpy()
        if self._lies(tensor.source):
            values = values.T
        return np.ascontiguousarray(swap_halves(values, tensor.source, self._config))

    def _computed(self) -> list[PlannedTensor]:
        factors = rotation_factors(self._config)
        if factors is None:
            return []
        return [PlannedTensor(_FREQUENCIES, factors.shape, "", None)]

    def _stored(self, folder: Path) -> list[PlannedTensor]:
        files = {
            name: (folder / file, shape)
            for file in weight_files(folder)
            for name, shape in read_header(folder / file).items()
        }
        is_tied = bool(self._config.get("tie_word_embeddings", self._kind.name == "gpt2"))
        if is_tied:
            files.pop(_HEAD, None)
        elif _HEAD not in files:
            raise ModelError(
                f"{folder} has no {_HEAD}, and its config does not tie it to the embedding",
                "export the student again",
            )
        kept = {name: one for name, one in files.items() if not name.endswith(_COMPUTED)}
        return [self._plan(name, *kept[name]) for name in sorted(kept)]

    def _plan(self, source: str, file: Path, shape: tuple[int, ...]) -> PlannedTensor:
        name = self._names.get_name(source, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise ModelError(
                f"llama.cpp's {self._kind.name} has no place for the tensor {source}",
                "ship the format merged, which transformers and vLLM load",
            )
        return PlannedTensor(name, shape[::-1] if self._lies(source) else shape, source, file)

    def _lies(self, source: str) -> bool:
        return source.endswith(self._kind.lays_down) if self._kind.lays_down else False


def tensor_names(config: Mapping[str, Any]) -> gguf.TensorNameMap:
    """From transformers' names to llama.cpp's, for one model."""
    name = ARCHITECTURES[config["model_type"]].name
    (kind,) = (one for one, text in gguf.MODEL_ARCH_NAMES.items() if text == name)
    return gguf.get_tensor_name_map(kind, num_blocks(config))


def num_blocks(config: Mapping[str, Any]) -> int:
    """How many layers a model has."""
    return int(config["n_layer"] if config["model_type"] == "gpt2" else config["num_hidden_layers"])


def swap_halves(
    values: NDArray[np.float32], source: str, config: Mapping[str, Any]
) -> NDArray[np.float32]:
    """A tensor with its rows in the order of llama.cpp's rotation.

    Args:
        values: (out, ...) of a layer, or what an adapter adds behind its own `in`.
        source: its name in the model.
        config: of the model.

    Returns:
        The rows of queries and keys of Llama with pairs side by side; everything else as it is.
    """
    if not ARCHITECTURES[config["model_type"]].swaps_halves:
        return values
    heads = int(config["num_attention_heads"])
    if ".k_proj." in source:
        heads = int(config.get("num_key_value_heads") or heads)
    elif ".q_proj." not in source:
        return values
    halves = values.reshape(heads, 2, len(values) // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)
