"""The size of a model from its config alone: parameters, and operations a token; no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stillhouse.core.errors import ModelError
from stillhouse.recipes.families import FAMILIES, PLAIN, Act, Family

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
    "expert_inner": ("moe_intermediate_size",),
    "biased": ("attention_bias",),
}
_ACTS: dict[str, Act] = {"silu": "silu", "gelu": "gelu", "gelu_new": "gelu_new"}
_ACTS |= {"gelu_pytorch_tanh": "gelu", "swish": "silu", "gelu_fast": "gelu_new", "relu": "gelu"}
_ACT_NAMES = ("hidden_activation", "activation_function", "hidden_act")


@dataclass(frozen=True, slots=True)
class Linear:
    """Equal linear layers, one a block.

    Attributes:
        name: inside the block, dotted.
        inputs: width that goes in.
        outputs: width that comes out.
        has_bias: a vector of the outputs' width beside the matrix.
    """

    name: str
    inputs: int
    outputs: int
    has_bias: bool = False

    @property
    def weights(self) -> int:
        """Of the matrix."""
        return self.inputs * self.outputs

    @property
    def parameters(self) -> int:
        """Of matrix and bias."""
        return self.weights + self.outputs * self.has_bias


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
        positions: rows of a learned position embedding; 0 for rotary.
        experts: feed-forward experts a layer; 1 when dense.
        active_experts: of these, used by one token.
        family: what its blocks are made of.
        act: between the feed-forward matrices.
        attention_bias: its config asks for biases where the family reads that.
        mlp_bias: the layers of its feed-forward part have biases.
        attention_dropout: share of attention weights dropped in training.
        dropout: share of each block's results dropped in training.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int
    vocab: int
    tied: bool
    positions: int
    experts: int = 1
    active_experts: int = 1
    family: Family = PLAIN
    act: Act = "silu"
    attention_bias: bool = False
    mlp_bias: bool = False
    attention_dropout: float = 0.0
    dropout: float = 0.0

    @property
    def queries(self) -> int:
        """Width of all query heads."""
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        """Width of all key heads, and of all value heads."""
        return self.kv_heads * self.head_dim

    @property
    def is_gated(self) -> bool:
        """Whether the feed-forward part has three matrices, else two."""
        return self.family.layout in ("split", "phi3")

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The linear layers of one block, routers and experts left out."""
        return (*self._attention(), *(self._feed_forward() if self.experts == 1 else ()))

    @property
    def expert_parameters(self) -> int:
        """Weights of one feed-forward expert, without biases."""
        return 3 * self.hidden * self.inner

    @property
    def block_parameters(self) -> int:
        """Every weight of one block."""
        linear = sum(one.parameters for one in self.linears)
        return linear + self._experts() + self._vectors()

    @property
    def body_parameters(self) -> int:
        """Every weight of the blocks."""
        return self.layers * self.block_parameters

    @property
    def matrix_parameters(self) -> int:
        """Weights of the blocks' linear layers, which 4 or 8 bits can hold."""
        return self.layers * sum(one.weights for one in self.linears)

    @property
    def active_body_parameters(self) -> int:
        """Weights of the blocks that one token is multiplied with."""
        ours = sum(one.weights for one in self.linears)
        if self.experts > 1:
            ours += self.active_experts * self.expert_parameters + self.experts * self.hidden
        return self.layers * ours

    @property
    def head_parameters(self) -> int:
        """Rows times width of the output head."""
        return self.vocab * self.hidden

    @property
    def table_parameters(self) -> int:
        """Embedding, head, positions and what stands behind the last block."""
        tables = self.head_parameters * (1 if self.tied else 2) + self.positions * self.hidden
        bias = self.vocab if self.family.has_head_bias else 0
        return tables + bias + self._norm

    @property
    def parameters(self) -> int:
        """Every weight; exact for the families of `families.FAMILIES`."""
        return self.body_parameters + self.table_parameters

    @property
    def bias_parameters(self) -> int:
        """Every bias but those of experts and of what chooses them."""
        of_linears = sum(one.outputs for one in self.linears if one.has_bias)
        of_norms = self.family.norms * self.hidden if self.family.norms_have_bias else 0
        last = self.hidden if self.family.norms_have_bias else 0
        head = self.vocab if self.family.has_head_bias else 0
        return self.layers * (of_linears + of_norms) + last + head

    @property
    def _norm(self) -> int:
        return self.hidden * (2 if self.family.norms_have_bias else 1)

    def _attention(self) -> Iterator[Linear]:
        layout, hidden, queries, keys = self.family.layout, self.hidden, self.queries, self.keys
        asked = self.family.biases
        is_all = asked == "all" or (asked == "config" and self.attention_bias)
        is_qkv = is_all or asked == "qkv"
        fused = {
            "gpt2": ("attn.c_attn", "attn.c_proj"),
            "gpt_neox": ("attention.query_key_value", "attention.dense"),
            "phi3": ("self_attn.qkv_proj", "self_attn.o_proj"),
        }
        if layout in fused:
            yield Linear(fused[layout][0], hidden, queries + 2 * keys, is_qkv)
            yield Linear(fused[layout][1], queries, hidden, is_all)
            return
        for name, width in (("q", queries), ("k", keys), ("v", keys)):
            yield Linear(f"self_attn.{name}_proj", hidden, width, is_qkv)
        last = "self_attn.dense" if layout == "phi" else "self_attn.o_proj"
        yield Linear(last, queries, hidden, is_all)

    def _feed_forward(self) -> Iterator[Linear]:
        layout, hidden, inner = self.family.layout, self.hidden, self.inner
        plain = {
            "gpt2": ("mlp.c_fc", "mlp.c_proj"),
            "gpt_neox": ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
            "phi": ("mlp.fc1", "mlp.fc2"),
        }
        if layout in plain:
            yield Linear(plain[layout][0], hidden, inner, True)
            yield Linear(plain[layout][1], inner, hidden, True)
            return
        if layout == "phi3":
            yield Linear("mlp.gate_up_proj", hidden, 2 * inner)
        else:
            yield Linear("mlp.gate_proj", hidden, inner, self.mlp_bias)
            yield Linear("mlp.up_proj", hidden, inner, self.mlp_bias)
        yield Linear("mlp.down_proj", inner, hidden, self.mlp_bias)

    def _experts(self) -> int:
        """Weights of one block's experts and of what chooses them."""
        if self.experts == 1:
            return 0
        one = self.expert_parameters + self.hidden
        if self.family.has_router_bias:
            one += 1 + 2 * self.inner + self.hidden
        return self.experts * one

    def _vectors(self) -> int:
        """Norms and sinks of one block."""
        heads = {"none": 0, "head": 2 * self.head_dim, "wide": self.queries + self.keys}
        sinks = self.heads if self.family.has_sinks else 0
        return self.family.norms * self._norm + heads[self.family.head_norm] + sinks


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
    merged = {name: value for name, value in merged.items() if value is not None}
    kind = str((config.get("text_config") or {}).get("model_type", config.get("model_type", "")))
    family = FAMILIES.get(kind, PLAIN)
    found = {
        name: _first(merged, theirs, family.defaults.get(name, 0))
        for name, theirs in _NAMES.items()
    }
    found["vocab"] = vocab or found["vocab"]
    missing = [name for name in ("hidden", "layers", "heads", "vocab") if not found[name]]
    if missing:
        raise ModelError(
            f"the config of a {kind or 'nameless'} model does not say {', '.join(missing)}",
            "name them in the config, so that memory can be planned",
        )
    hidden, heads = found["hidden"], found["heads"]
    stated = (merged[name] for name in _ACT_NAMES if name in merged)
    # A dense architecture pays no heed to keys of experts, and not each reads their width.
    may_mix = family is PLAIN or "experts" in family.defaults
    experts = (found["experts"] or 1) if may_mix else 1
    reads_width = experts > 1 and (family is PLAIN or "expert_inner" in family.defaults)
    return Sizes(
        hidden=hidden,
        layers=found["layers"],
        heads=heads,
        kv_heads=found["kv_heads"] or heads,
        head_dim=found["head_dim"] or hidden // heads,
        inner=(found["expert_inner"] if reads_width else 0) or found["inner"] or 4 * hidden,
        vocab=found["vocab"],
        tied=bool(merged.get("tie_word_embeddings", family.is_tied)),
        positions=found["positions"] if family.is_learned else 0,
        experts=experts,
        active_experts=(found["active_experts"] or 1) if experts > 1 else 1,
        family=family,
        act=_ACTS.get(str(next(stated, "")), family.act),
        attention_bias=bool(found["biased"]),
        mlp_bias=family.reads_mlp_bias and bool(merged.get("mlp_bias")),
        attention_dropout=_dropout(merged, ("attn_pdrop", "attention_dropout"), family),
        dropout=_dropout(merged, ("resid_pdrop", "hidden_dropout"), family),
    )


def _first(config: Mapping[str, Any], names: tuple[str, ...], default: int) -> int:
    return next((int(config[name]) for name in names if name in config), default)


def _dropout(config: Mapping[str, Any], names: tuple[str, ...], family: Family) -> float:
    return float(next((config[name] for name in names if name in config), family.dropout))
