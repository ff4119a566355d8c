"""An adapter in PEFT's layout as a GGUF file that llama.cpp and Ollama put on its base model.

llama.cpp adds alpha / rank * B @ A to a weight, and knows nothing else. An adapter that does more
would lose that without a word, so it is refused, and merged instead.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from stillhouse.core.errors import ModelError
from stillhouse.export.gguf_architectures import architecture_of
from stillhouse.export.gguf_model import GgufFacts
from stillhouse.export.gguf_tensors import swap_halves, tensor_names
from stillhouse.export.gguf_write import TensorToWrite, write_tensors
from stillhouse.models.load import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from stillhouse.models.source import ModelFolder, open_folder, read_header
from stillhouse.recipes.gguf_names import WEIGHTS_KEY

_PREFIX = "base_model.model."
_PARTS = {".lora_A.weight": ".lora_a", ".lora_B.weight": ".lora_b"}
_MERGE = "ship the merged student instead: export.formats: [merged, gguf]"

_REFUSED: tuple[tuple[str, Callable[[Mapping[str, Any]], object], str], ...] = (
    ("DoRA", lambda told: told.get("use_dora"), "it scales whole columns, which no A and B say"),
    (
        "modules_to_save",
        lambda told: told.get("modules_to_save"),
        "whole layers were trained beside the adapter, and a file of A and B has no place for them",
    ),
    (
        "trainable_token_indices",
        lambda told: told.get("trainable_token_indices"),
        "rows of the embedding were trained, and a file of A and B has no place for them",
    ),
    (
        "target_parameters",
        lambda told: told.get("target_parameters"),
        "weights that are no layers of their own have no name in llama.cpp",
    ),
    ("bias", lambda told: told.get("bias", "none") != "none", "trained biases would be left out"),
    (
        "alpha_pattern",
        lambda told: told.get("alpha_pattern"),
        "a file has one alpha for all of its layers",
    ),
    (
        "rank_pattern",
        lambda told: told.get("rank_pattern") and told.get("use_rslora"),
        "with rsLoRA each rank has a scale of its own, and a file has one alpha",
    ),
    ("layer_replication", lambda told: told.get("layer_replication"), "the base has fewer layers"),
)
"""What an adapter's config may ask, whether it does, and why that is not written."""


@dataclass(frozen=True, slots=True)
class _Weight:
    """One A or B."""

    name: str
    stored: str
    source: str
    shape: tuple[int, ...]


def write_gguf_adapter(adapter: Path, base: Path, path: Path, facts: GgufFacts) -> None:
    """Write an adapter as GGUF, in float32; it names the weights that it belongs to.

    Args:
        adapter: in PEFT's layout.
        base: folder of the model under it, in float weights, with its tokenizer.
        path: of the file.
        facts: what the file says of the student.

    Raises:
        ModelError: no such file would say what the adapter does, and what to ship instead.
        DiskFullError: there is no room for it.
    """
    told = json.loads((adapter / ADAPTER_CONFIG).read_bytes())
    model = open_folder(base)
    kind = architecture_of(model.config)
    refuse_adapter(told)
    weights = _weights(adapter, model)
    writer = gguf.GGUFWriter(None, kind.name)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_name(facts.name)
    writer.add_license(facts.licence)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, _alpha(told))
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, facts.base or "base")
    writer.add_string(WEIGHTS_KEY, model.weights_digest())
    for key, text in facts.further.items():
        writer.add_string(key, text)
    stored = adapter / ADAPTER_WEIGHTS
    tensors = [
        TensorToWrite(
            one.name,
            one.shape,
            True,
            lambda one=one: _read(stored, one, model.config),  # type: ignore[misc]
        )
        for one in weights
    ]
    write_tensors(writer, path, tensors, "f32")


def refuse_adapter(told: Mapping[str, Any]) -> None:
    """Stop before an adapter becomes a file that leaves a part of it out.

    Args:
        told: its `adapter_config.json`.

    Raises:
        ModelError: names what would be lost, and what to ship instead.
    """
    if told.get("peft_type", "LORA") != "LORA":
        raise ModelError(f"an adapter of the kind {told['peft_type']} is no LoRA", _MERGE)
    for name, asks, why in _REFUSED:
        if asks(told):
            raise ModelError(f"this adapter cannot be a GGUF adapter because of {name}: {why}",
                             _MERGE)  # fmt: skip


def _alpha(told: Mapping[str, Any]) -> float:
    """What llama.cpp divides by the rank to get PEFT's scale."""
    alpha, rank = float(told["lora_alpha"]), int(told["r"])
    return alpha * float(rank) ** 0.5 if told.get("use_rslora") else alpha


def _weights(adapter: Path, model: ModelFolder) -> list[_Weight]:
    names = tensor_names(model.config)
    found = []
    for stored, shape in sorted(read_header(adapter / ADAPTER_WEIGHTS).items()):
        part = next((one for one in _PARTS if stored.endswith(one)), None)
        if part is None or not stored.startswith(_PREFIX):
            raise ModelError(f"{stored} is neither A nor B of a layer", _MERGE)
        source = stored.removeprefix(_PREFIX).removesuffix(part) + ".weight"
        name = names.get_name(source, try_suffixes=(".weight",))
        if source not in model.shapes or name is None:
            raise ModelError(
                f"the adapter changes {source}, which the base does not have as a weight of its "
                "own (a head that is tied to the embedding is none)",
                _MERGE,
            )
        found.append(_Weight(name + _PARTS[part], stored, source, shape))
    if not found:
        raise ModelError(f"{adapter} holds no A and no B", "train the student again")
    return found


def _read(file: Path, weight: _Weight, config: Mapping[str, Any]) -> NDArray[np.float32]:
    with safe_open(str(file), framework="pt") as stored:
        values: NDArray[np.float32] = stored.get_tensor(weight.stored).to(torch.float32).numpy()
    # A reads what the layer reads; only the rows of what comes out are in another order.
    if weight.name.endswith(".lora_b"):
        values = swap_halves(values, weight.source, config)
    return np.ascontiguousarray(values)
