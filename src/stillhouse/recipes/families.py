"""What the blocks of each architecture are made of, as far as sizes and memory depend on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Layout = Literal["split", "gpt2", "gpt_neox", "phi", "phi3"]
"""Names and cuts of the linear layers; `split` is llama's q, k, v, o and gate, up, down."""

Act = Literal["silu", "gelu", "gelu_new"]
"""`gelu_new` is written out in plain products and keeps each of them; the others are one kernel."""


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture.

    Attributes:
        layout: of its linear layers.
        biases: of the attention's linear layers; `config` reads attention_bias.
        reads_mlp_bias: its config decides whether feed-forward layers have biases.
        norms: a block, over the whole width.
        norms_have_bias: LayerNorm with two vectors; False is RMSNorm with one.
        head_norm: of queries and keys, over a `head`, over all heads (`wide`), or `none`.
        scales_wide: a norm's weight meets float32, also where the rest is narrower.
        act: between the feed-forward matrices, where the config names none.
        is_eager: attention weights are tensors of their own; else one kernel that keeps none.
        has_sinks: one learned logit a head.
        has_router_bias: the linear layer that chooses experts has a bias, and the experts have.
        has_head_bias: the output head has one.
        is_tied: head and embedding are one matrix unless the config says otherwise.
        is_learned: positions are rows of a table.
        dropout: of attention weights and of each part's result, where the config says nothing.
        defaults: what its config class fills in.
    """

    layout: Layout = "split"
    biases: Literal["none", "qkv", "all", "config"] = "config"
    reads_mlp_bias: bool = False
    norms: int = 2
    norms_have_bias: bool = False
    head_norm: Literal["none", "head", "wide"] = "none"
    scales_wide: bool = False
    act: Act = "silu"
    is_eager: bool = False
    has_sinks: bool = False
    has_router_bias: bool = False
    has_head_bias: bool = False
    is_tied: bool = False
    is_learned: bool = False
    dropout: float = 0.0
    defaults: dict[str, int] = field(default_factory=dict)


_NAMES = ("hidden", "layers", "heads", "inner", "vocab")


def _sizes(*sizes: int, **more: int) -> dict[str, int]:
    return dict(zip(_NAMES, sizes, strict=True)) | more


FAMILIES: dict[str, Family] = {
    "gpt2": Family(
        layout="gpt2",
        biases="all",
        norms_have_bias=True,
        act="gelu_new",
        is_tied=True,
        is_learned=True,
        dropout=0.1,
        defaults={"hidden": 768, "layers": 12, "heads": 12, "positions": 1024, "vocab": 50257},
    ),
    "gpt_neox": Family(
        layout="gpt_neox",
        norms_have_bias=True,
        act="gelu",
        defaults=_sizes(6144, 44, 64, 24576, 50432, biased=1),
    ),
    "phi": Family(
        layout="phi",
        biases="all",
        norms=1,
        norms_have_bias=True,
        act="gelu_new",
        has_head_bias=True,
        defaults=_sizes(2048, 24, 32, 8192, 51200),
    ),
    "phi3": Family(layout="phi3", biases="none", defaults=_sizes(3072, 32, 32, 8192, 32064)),
    "llama": Family(reads_mlp_bias=True, defaults=_sizes(4096, 32, 32, 11008, 32000)),
    "mistral": Family(biases="none", defaults=_sizes(4096, 32, 32, 14336, 32000, kv_heads=8)),
    "qwen2": Family(biases="qkv", defaults=_sizes(4096, 32, 32, 22016, 151936, kv_heads=32)),
    "qwen3": Family(
        head_norm="head",
        defaults=_sizes(4096, 32, 32, 22016, 151936, kv_heads=32, head_dim=128),
    ),
    "qwen3_moe": Family(
        head_norm="head",
        defaults=_sizes(
            2048, 24, 32, 6144, 151936, kv_heads=4, experts=128, active_experts=8, expert_inner=768
        ),
    ),
    "smollm3": Family(
        reads_mlp_bias=True, is_tied=True, defaults=_sizes(2048, 36, 16, 11008, 128256, kv_heads=4)
    ),
    "gemma": Family(
        act="gelu",
        is_tied=True,
        defaults=_sizes(3072, 28, 16, 24576, 256000, kv_heads=16, head_dim=256),
    ),
    "gemma2": Family(
        norms=4,
        scales_wide=True,
        act="gelu",
        is_tied=True,
        is_eager=True,
        defaults=_sizes(2304, 26, 8, 9216, 256000, kv_heads=4, head_dim=256),
    ),
    "gemma3_text": Family(
        norms=4,
        scales_wide=True,
        head_norm="head",
        act="gelu",
        is_tied=True,
        defaults=_sizes(2304, 26, 8, 9216, 262208, kv_heads=4, head_dim=256),
    ),
    "olmo2": Family(
        head_norm="wide", scales_wide=True, defaults=_sizes(4096, 32, 32, 11008, 50304)
    ),
    "gpt_oss": Family(
        is_eager=True,
        has_sinks=True,
        has_router_bias=True,
        defaults=_sizes(
            2880,
            36,
            64,
            2880,
            201088,
            kv_heads=8,
            head_dim=64,
            experts=128,
            active_experts=4,
            biased=1,
        ),
    ),
}
"""By `model_type`; a test holds each against the model that transformers builds."""

PLAIN = Family(reads_mlp_bias=True)
"""Of an architecture that is not in the table: llama's, which most newer ones resemble."""
