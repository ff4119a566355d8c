"""The size of a model from its config alone: parameters, and operations a token; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stillhouse.core.errors import ModelError

_NAMES = {
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "kv_heads": ("num_key_value_heads",),
    "head_dim": ("head_dim",),
    "inner": ("intermediate_size", "n_inner"),
    "vocab": ("vocab_size",),
    "positions": ("max_position_embeddings", "n_positions"),
    "experts": ("num_local_experts", "num_experts"),
    "active_experts": ("num_experts_per_tok", "experts_per_token"),
}
_DEFAULTS: dict[str, dict[str, int]] = {
    "gpt2": {"hidden": 768, "layers": 12, "heads": 12, "positions": 1024, "vocab": 50257},
    "qwen3": {"hidden": 4096, "layers": 32, "heads": 32, "inner": 22016, "vocab": 151936},
    "qwen2": {"hidden": 4096, "layers": 32, "heads": 32, "inner": 22016, "vocab": 151936},
    "llama": {"hidden": 4096, "layers": 32, "heads": 32, "inner": 11008, "vocab": 32000},
}
"""What transformers' config classes fill in; checked by a test against those classes."""

_TIED_BY_DEFAULT = ("gpt2",)


@dataclass(frozen=True, slots=True)
class Sizes:
    """The dimensions that decide memory and time.

    Attributes:
        hidden: width.
        layers: blocks.
        heads: query heads.
        kv_heads: key and value heads.
        head_dim: width of a head.
        inner: width of the feed-forward part (of one expert).
        vocab: rows of the embedding.
        tied: head and input embedding are one matrix.
        gated: the feed-forward part has three matrices, else two.
        positions: rows of a learned position embedding; 0 for rotary.
        experts: feed-forward experts a layer; 1 when dense.
        active_experts: of these, used by one token.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int
    vocab: int
    tied: bool
    gated: bool
    positions: int
    experts: int = 1
    active_experts: int = 1

    @property
    def attention_parameters(self) -> int:
        """Weights of one layer's four projections."""
        queries = self.heads * self.head_dim
        return self.hidden * (2 * queries + 2 * self.kv_heads * self.head_dim)

    @property
    def expert_parameters(self) -> int:
        """Weights of one feed-forward expert."""
        return (3 if self.gated else 2) * self.hidden * self.inner

    @property
    def body_parameters(self) -> int:
        """All weights of the blocks; norms and biases, under 0.5 %, are left out."""
        return self.layers * (self.attention_parameters + self.experts * self.expert_parameters)

    @property
    def active_body_parameters(self) -> int:
        """Weights of the blocks that one token is multiplied with."""
        ours = self.attention_parameters + self.active_experts * self.expert_parameters
        return self.layers * ours

    @property
    def head_parameters(self) -> int:
        """Rows times width of the output head."""
        return self.vocab * self.hidden

    @property
    def parameters(self) -> int:
        """Every weight."""
        embeddings = self.head_parameters * (1 if self.tied else 2) + self.positions * self.hidden
        return self.body_parameters + embeddings

    def forward_flops(self, tokens: int, head_tokens: int, context: float) -> float:
        """Operations of one forward pass.

        Args:
            tokens: that pass the blocks.
            head_tokens: of these, that reach the head.
            context: mean number of tokens that a token attends to.

        Returns:
            Floating-point operations; a multiplication and an addition are two.
        """
        attention = 4.0 * self.layers * self.heads * self.head_dim * context
        blocks = tokens * (2.0 * self.active_body_parameters + attention)
        return blocks + 2.0 * head_tokens * self.head_parameters

    def lora_parameters(self, rank: int) -> int:
        """Weights of adapters on every linear layer of the blocks (dense layers)."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = 2 * (self.hidden + queries) + 2 * (self.hidden + keys)
        inner = (3 if self.gated else 2) * (self.hidden + self.inner) if self.experts == 1 else 0
        return self.layers * rank * (attention + inner)


def sizes_of(config: Mapping[str, Any], vocab: int | None = None) -> Sizes:
    """The sizes of a Hugging Face config, its class's defaults filled in.

    Args:
        config: `config.json`, or a recipe's scratch config with `model_type`.
        vocab: rows of the embedding where the config does not say.

    Returns:
        Numbers enough to price a model; no weight is read.

    Raises:
        ModelError: the config does not name its width, layers or heads.
    """
    merged = dict(config.get("text_config") or {}) | dict(config)
    kind = str(merged.get("model_type", ""))
    defaults = _DEFAULTS.get(kind, {})
    found = {ours: _first(merged, theirs, defaults.get(ours)) for ours, theirs in _NAMES.items()}
    found["vocab"] = vocab or found["vocab"]
    missing = [name for name in ("hidden", "layers", "heads", "vocab") if not found[name]]
    if missing:
        raise ModelError(
            f"the config of a {kind or 'nameless'} model does not say {', '.join(missing)}",
            "name them in the config, so that memory can be planned",
        )
    hidden, heads = int(found["hidden"] or 0), int(found["heads"] or 1)
    is_gpt2 = kind == "gpt2"
    return Sizes(
        hidden=hidden,
        layers=int(found["layers"] or 0),
        heads=heads,
        kv_heads=int(found["kv_heads"] or heads),
        head_dim=int(found["head_dim"] or hidden // heads),
        inner=int(found["inner"] or 4 * hidden),
        vocab=int(found["vocab"] or 0),
        tied=bool(merged.get("tie_word_embeddings", kind in _TIED_BY_DEFAULT)),
        gated=not is_gpt2,
        positions=int(found["positions"] or 0) if is_gpt2 else 0,
        experts=int(found["experts"] or 1),
        active_experts=int(found["active_experts"] or 1),
    )


def _first(config: Mapping[str, Any], names: tuple[str, ...], default: int | None) -> int | None:
    for name in names:
        if config.get(name):
            return int(config[name])
    return default
