"""The architectures that are written as GGUF, and what a file says of a model of each.

llama.cpp computes one thing for each architecture. A config that asks for another, such as another
activation, would be computed wrongly without a word, so it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import ModelError
from stillhouse.recipes.measuring import Gguf

Facts = dict[str, int | float | str]
"""Key without the architecture's name -> value; whole numbers are unsigned, others float32."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """One row.

    Attributes:
        name: in the file.
        requires: config key -> the values that llama.cpp computes; an absent key is fine.
        swaps_halves: rows of query and key weights are reordered, because llama.cpp turns pairs
            that stand side by side, and transformers the first half with the second.
        lays_down: weights of layers that transformers keeps as (in, out), by the end of their
            names, are turned to (out, in).
        has_rotation: positions are turned into angles; otherwise they have an embedding.
    """

    name: str
    requires: Mapping[str, tuple[Any, ...]]
    swaps_halves: bool = False
    lays_down: tuple[str, ...] = ()
    has_rotation: bool = True


_SILU = {"hidden_act": ("silu",)}
_NO_WINDOW = {"use_sliding_window": (False, None)}
ARCHITECTURES = {
    "llama": Architecture("llama", _SILU, swaps_halves=True),
    "qwen2": Architecture("qwen2", _SILU | _NO_WINDOW),
    "qwen3": Architecture("qwen3", _SILU | _NO_WINDOW | {"attention_bias": (False,)}),
    "gpt2": Architecture(
        "gpt2",
        {
            "activation_function": ("gelu_new",),
            "scale_attn_weights": (True,),
            "scale_attn_by_inverse_layer_idx": (False,),
            "add_cross_attention": (False,),
        },
        lays_down=(".c_attn.weight", ".c_proj.weight", ".c_fc.weight"),
        has_rotation=False,
    ),
}

EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
"""Config keys that say how many experts a mixture has."""

_NEEDED = (
    ("num_attention_heads", "hidden_size", "max_position_embeddings", "num_hidden_layers",
     "intermediate_size", "vocab_size", "rms_norm_eps"),
    ("n_positions", "n_embd", "n_layer", "n_head", "vocab_size", "layer_norm_epsilon"),
)  # fmt: skip
"""Config keys without which nothing can be said; of GPT-2 the second."""

_ROTATIONS = ("default", "linear", "yarn", "llama3")


def architecture_of(config: Mapping[str, Any]) -> Architecture:
    """The row of a model.

    Args:
        config: its `config.json`.

    Returns:
        How it is written.

    Raises:
        ModelError: it is not written here, or llama.cpp computes something else under its name.
    """
    found = require_computed(config)
    if "quantization_config" in config:
        raise ModelError(
            "these weights are quantised already; as GGUF they would be rounded a second time",
            "write the merged student over its base with quantization: none, and that as GGUF",
        )
    missing = [key for key in _NEEDED[found.name == "gpt2"] if key not in config]
    if missing:
        raise ModelError(
            f"the config has no {', '.join(missing)}", "save the model anew with transformers"
        )
    return found


def require_written(config: Mapping[str, Any], files: Gguf) -> None:
    """Refuse a model that neither this nor the recipe's llama.cpp writes as GGUF.

    Args:
        config: of a model that need not be made yet; an absent key has the usual value.
        files: what is asked for.

    Raises:
        ModelError: it is not written, or not with what is asked for.
    """
    kind = str(config.get("model_type"))
    if files.llama_cpp_dir is None or kind in ARCHITECTURES:
        require_computed(config)
    elif files.importance:
        raise ModelError(
            f"the importance of columns is measured of {', '.join(ARCHITECTURES)}, not of {kind}",
            "take export.gguf.importance out",
        )
    if "mxfp4" in files.weights and not any((config.get(key) or 0) > 1 for key in EXPERTS):
        raise ModelError(
            f"mxfp4 is of the experts of a mixture, and {kind} has none", "take q4_k_m in its place"
        )


def require_computed(config: Mapping[str, Any]) -> Architecture:
    """Refuse what llama.cpp does not compute, from as much of a config as there is.

    Args:
        config: of a model that need not be made yet; an absent key has the usual value.

    Returns:
        How such a model is written.

    Raises:
        ModelError: it is not written here, or llama.cpp computes something else under its name.
    """
    kind = str(config.get("model_type"))
    found = ARCHITECTURES.get(kind)
    if found is None:
        raise ModelError(
            f"{kind} models are not written as GGUF; {', '.join(ARCHITECTURES)} are",
            "name a folder of llama.cpp's sources as export.gguf.llama_cpp_dir, whose converter "
            "knows more, or ship the format merged",
        )
    for key, allowed in found.requires.items():
        if key in config and config[key] not in allowed:
            known = " or ".join(repr(value) for value in allowed)
            raise ModelError(
                f"{key} is {config[key]!r}; llama.cpp computes {kind} with {known}",
                "ship the format merged, which transformers and vLLM load",
            )
    if found.has_rotation:
        _require_rotation(config)
    return found


def facts_of(config: Mapping[str, Any]) -> Facts:
    """What the file says of the model's shape.

    Args:
        config: its `config.json`, of an architecture of the table.

    Returns:
        Keys as llama.cpp reads them.
    """
    if config["model_type"] == "gpt2":
        return _gpt2_facts(config)
    heads = int(config["num_attention_heads"])
    head_dim = int(config.get("head_dim") or config["hidden_size"] // heads)
    return {
        "context_length": int(config["max_position_embeddings"]),
        "embedding_length": int(config["hidden_size"]),
        "block_count": int(config["num_hidden_layers"]),
        "feed_forward_length": int(config["intermediate_size"]),
        "vocab_size": int(config["vocab_size"]),
        "attention.head_count": heads,
        "attention.head_count_kv": int(config.get("num_key_value_heads") or heads),
        "attention.key_length": head_dim,
        "attention.value_length": head_dim,
        "attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
        "rope.dimension_count": head_dim,
        **_rotation_facts(config),
    }


def _gpt2_facts(config: Mapping[str, Any]) -> Facts:
    return {
        "context_length": int(config["n_positions"]),
        "embedding_length": int(config["n_embd"]),
        "block_count": int(config["n_layer"]),
        "feed_forward_length": int(config.get("n_inner") or 4 * config["n_embd"]),
        "vocab_size": int(config["vocab_size"]),
        "attention.head_count": int(config["n_head"]),
        "attention.layer_norm_epsilon": float(config["layer_norm_epsilon"]),
    }


def rotation_factors(config: Mapping[str, Any]) -> NDArray[np.float32] | None:
    """What each pair's frequency is divided by, as the tensor `rope_freqs.weight`.

    Args:
        config: its `config.json`.

    Returns:
        (head_dim / 2,) for Llama 3's rotation; None for the others, which the keys describe.

    Source: Llama 3.1's rotation, as transformers computes it in `_compute_llama3_parameters`.
    """
    told = _rotation(config)
    if told.get("rope_type") != "llama3":
        return None
    heads = int(config["num_attention_heads"])
    head_dim = int(config.get("head_dim") or config["hidden_size"] // heads)
    context, factor = told["original_max_position_embeddings"], told["factor"]
    low, high = told["low_freq_factor"], told["high_freq_factor"]
    places = np.arange(0, head_dim, 2, dtype=np.float64) / head_dim
    wavelengths = 2 * math.pi * float(told["rope_theta"]) ** places
    smooth = (context / wavelengths - low) / (high - low)
    blended = 1 / ((1 - smooth) / factor + smooth)
    factors = np.where(wavelengths > context / low, factor, blended)
    return np.where(wavelengths < context / high, 1.0, factors).astype(np.float32)


def _rotation(config: Mapping[str, Any]) -> dict[str, Any]:
    """The rotation's settings; older configs keep them beside the others."""
    told = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    told.setdefault("rope_type", told.pop("type", "default"))
    told.setdefault("rope_theta", config.get("rope_theta", 10000.0))
    return told


def _require_rotation(config: Mapping[str, Any]) -> None:
    told = _rotation(config)
    partial = told.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))
    if told["rope_type"] not in _ROTATIONS or partial not in (None, 1, 1.0):
        raise ModelError(
            f"positions are rotated by {told['rope_type']} (share {partial}), which is not "
            f"written; {', '.join(_ROTATIONS)} of whole heads are",
            "ship the format merged, which transformers and vLLM load",
        )


def _rotation_facts(config: Mapping[str, Any]) -> Facts:
    told = _rotation(config)
    facts: Facts = {"rope.freq_base": float(told["rope_theta"])}
    kind = told["rope_type"]
    if kind in ("linear", "yarn"):
        facts |= {"rope.scaling.type": kind, "rope.scaling.factor": float(told["factor"])}
    if kind == "yarn":
        context = told.get("original_max_position_embeddings", config["max_position_embeddings"])
        facts["rope.scaling.original_context_length"] = int(context)
        keys = {"attention_factor": "yarn_attn_factor", "beta_fast": "yarn_beta_fast",
                "beta_slow": "yarn_beta_slow"}  # fmt: skip
        for key, name in keys.items():
            if told.get(key) is not None:
                facts[f"rope.scaling.{name}"] = float(told[key])
    return facts
