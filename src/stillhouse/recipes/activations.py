"""What the blocks of a model keep of a forward pass for the backward pass; no torch.

It is a sum over what autograd saves, tensor by tensor; a test holds it against the tensors that
torch saves. Legend: H width, Q width of all query heads, K of all key heads, I feed-forward width.
"""

from __future__ import annotations

from dataclasses import dataclass

from stillhouse.recipes.sizes import Linear, Sizes
from stillhouse.recipes.trainable import adapted
from stillhouse.recipes.training import Lora

_WIDE = 4
"""Bytes of float32, in which norms are computed and what runs between the blocks is kept."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch as it passes a model that learns.

    Attributes:
        tokens: of all its rows, padding included.
        width: of a row.
        answers: of the tokens, those that reach the head.
        is_masked: attention needs a mask: rows hold several examples, or padding.
        is_narrow: products are made in bfloat16, under autocast.
        device: kind of it: cpu, cuda, mps.
        copies_weights: autocast narrows float32 weights, and keeps what it made of them.
    """

    tokens: float
    width: float
    answers: float
    is_masked: bool = True
    is_narrow: bool = False
    device: str = "cpu"
    copies_weights: bool = True

    @property
    def value_bytes(self) -> int:
        """Of a number that a product gives."""
        return 2 if self.is_narrow else _WIDE


def block_bytes(sizes: Sizes, batch: Batch, lora: Lora | None) -> float:
    """Bytes that one block keeps of a batch.

    Args:
        sizes: of the model.
        batch: what passes.
        lora: the recipe's section, if an adapter is trained instead of the weights.

    Returns:
        Without gradient checkpointing; with it a block keeps its input alone, `input_bytes`.
    """
    a_token = (
        _norms(sizes, batch, lora)
        + _attention(sizes, batch)
        + _inputs(sizes, batch, lora)
        + _feed_forward(sizes, batch, lora)
        + _adapters(sizes, batch, lora)
    )
    # Autocast keeps what it made of each matrix for the gradient of its input.
    matrices = sum(one.weights for one in sizes.linears)
    matrices += sizes.expert_parameters * sizes.experts if sizes.experts > 1 else 0
    copies = 2 * matrices if batch.is_narrow and batch.copies_weights else 0
    return batch.tokens * a_token + copies


def input_bytes(sizes: Sizes, batch: Batch) -> float:
    """Bytes of what goes into a block."""
    return _WIDE * batch.tokens * sizes.hidden


def working_bytes(sizes: Sizes, batch: Batch) -> float:
    """Bytes that the backward pass through one feed-forward part holds beside what was kept.

    The gradients of both factors of the gated product, or of the activation's input and output,
    and those of the part's input and output.
    """
    inner = sizes.inner * (sizes.active_experts if sizes.experts > 1 else 1)
    return batch.tokens * (2 * inner * batch.value_bytes + 2 * sizes.hidden * _WIDE)


def _norms(sizes: Sizes, batch: Batch, lora: Lora | None) -> float:
    """What norms see, and what they multiply with a weight that learns."""
    family = sizes.family
    is_parallel = family.layout in ("phi", "gpt_neox")
    streams = 1 if is_parallel else family.norms
    learns = lora is None and not family.norms_have_bias
    kept: float = streams * sizes.hidden * _WIDE * (2 if learns else 1)
    if family.head_norm != "none":
        heads = sizes.queries + sizes.keys
        scaled = _WIDE if family.scales_wide else batch.value_bytes
        kept += heads * (_WIDE + (scaled if learns else 0))
    if sizes.dropout:
        noise = _WIDE if batch.device == "cpu" else 1
        kept += 2 * sizes.hidden * noise
    return kept


def _attention(sizes: Sizes, batch: Batch) -> float:
    """Queries, keys and values as the product takes them, its result, and weights where kept."""
    family, queries, keys = sizes.family, sizes.queries, sizes.keys
    has_groups = keys < queries
    if family.layout == "gpt2":
        numbers = 3 * queries
    elif family.layout in ("gpt_neox", "phi3"):
        # The fused projection stays whole for its values; turned parts are joined anew.
        numbers = (queries + 2 * keys) + 2 * queries + keys
    elif has_groups and (batch.is_masked or family.is_eager):
        numbers = 3 * queries
    else:
        numbers = queries + 2 * keys
    numbers += queries
    return numbers * batch.value_bytes + _weights_of_attention(sizes, batch)


def _weights_of_attention(sizes: Sizes, batch: Batch) -> float:
    """What is kept of the (width, width) products; a kernel keeps a sum for each row of them."""
    sums, one = sizes.heads * _WIDE, sizes.heads * batch.width * _WIDE
    if sizes.family.is_eager:
        return sums + 2 * one
    if sizes.attention_dropout and batch.device != "cuda":
        # No kernel drops: weights, the noise and the product of the two, and wide queries.
        return sums + 3 * one + sizes.queries * (_WIDE - batch.value_bytes)
    if batch.device == "mps":
        return sums + one
    return sums + (batch.width * batch.value_bytes if batch.is_masked else 0)


def _inputs(sizes: Sizes, batch: Batch, lora: Lora | None) -> float:
    """Inputs of linear layers that learn; autocast makes one anew for each."""
    if lora and lora.dropout:
        return 0.0
    meant = sizes.linears if lora is None else adapted(sizes, lora, 0)
    learning = [one for one in meant if not _is_last(one)]
    if batch.is_narrow:
        return sizes.hidden * batch.value_bytes * len(learning)
    parts = {one.name.partition(".")[0] for one in learning}
    is_shared = sizes.family.layout == "phi"
    return sizes.hidden * _WIDE * (min(1, len(parts)) if is_shared else len(parts))


def _is_last(one: Linear) -> bool:
    """Whether it ends attention or feed-forward: its input is counted with what made it."""
    return one.name.endswith(("o_proj", "c_proj", "dense", "down_proj", "fc2", "4h_to_h"))


def _feed_forward(sizes: Sizes, batch: Batch, lora: Lora | None) -> float:
    """Input, factors and result of the activation."""
    if sizes.experts > 1:
        return _experts(sizes, lora)
    names = {one.name for one in (sizes.linears if lora is None else adapted(sizes, lora, 0))}
    keeps_result = sizes.linears[-1].name in names and not (lora and lora.dropout)
    # Gated: both factors, and one of them before its activation. gelu_new is written out: its
    # input and its half, the tangent and its sum with 1.
    before = 3 if sizes.is_gated else 4 if sizes.act == "gelu_new" else 1
    return (before + keeps_result) * sizes.inner * batch.value_bytes


def _experts(sizes: Sizes, lora: Lora | None) -> float:
    """Of each expert of a token: its rows, both halves with their pieces, its weighted result."""
    pieces = 7 if sizes.family.has_router_bias else 4
    if lora is not None and not lora.experts:
        return sizes.active_experts * ((pieces - 1) * sizes.inner + sizes.hidden) * _WIDE
    each = pieces * sizes.inner + 2 * sizes.hidden
    return (sizes.active_experts * each + sizes.hidden) * _WIDE


def _adapters(sizes: Sizes, batch: Batch, lora: Lora | None) -> float:
    """The narrow middle of each adapter, and with dropout its input and the noise."""
    if lora is None:
        return 0.0
    meant = list(adapted(sizes, lora, 0))
    kept = lora.rank * len(meant)
    if lora.dropout:
        kept += 2 * sum(one.inputs for one in meant)
    return kept * batch.value_bytes
