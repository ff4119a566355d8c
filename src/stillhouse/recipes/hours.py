"""How long training, scoring and writing take, from operations, bytes and a machine's rates.

Legend: T tokens of a batch, H width, I feed-forward width, V vocabulary.
"""

from __future__ import annotations

from stillhouse.recipes.activations import Batch, block_bytes, input_bytes
from stillhouse.recipes.rates import Rates
from stillhouse.recipes.sizes import Sizes
from stillhouse.recipes.trainable import adapted, trainable_parameters
from stillhouse.recipes.training import Training

_FORWARD_OPS, _BACKWARD_OPS, _ADAPTER_OPS = 40, 60, 12
"""Operations of a block, counted in llama's: two norms of six, four projections with their views,
the turning of queries and keys, attention, two sums, five of the feed-forward part; as many again
and their sums backward; of an adapter, its two products, scale and sum in both directions."""

_STEP_OPS = 1500
"""measured: an optimizer step of `transformers.Trainer` without its model takes 15 ms."""

_CELL_PASSES = 6
"""Times that a value kept for the backward pass crosses memory: it is written, read by what comes
next, read again backward, and its gradient is written, read and added."""

_FRESH_PASSES, _FRESH_ADAPTER = 4.4, 5.0
"""measured: page faults of a step whose freed blocks go back at once, Qwen3 and GPT-2 of 27 to 124
million parameters: 4.1 to 4.7 times what a block keeps, and beside an adapter 4.5 to 5.7 times the
inputs and outputs of the linear layers that it adapts, whose copies nothing keeps."""

_GIVEN_BACK_BYTES = 1 << 20
"""`students.heap` has blocks from this size on given back at once."""

_LOGIT_PASSES = 4
"""Likewise of a logit in the fused loss: product, softmax, its gradient, product."""

_NEW_TOKEN_S = 2e-3
"""measured: what `generate` does beside the model for each new token of a batch, one CPU core."""

_WEIGHT_MOVES = 28
"""Bytes that a step of AdamW moves for a weight: weight, gradient and two moments read, three of
them written."""


def step_seconds(sizes: Sizes, training: Training, batch: Batch, rates: Rates) -> float:
    """Seconds of forward and backward pass of one batch.

    Args:
        sizes: of the model.
        training: the recipe's section.
        batch: what passes, at its mean size.
        rates: of the machine.

    Returns:
        Without the optimizer's step, which `update_seconds` gives.
    """
    lora = training.lora
    forward = _products(sizes, batch.tokens, rates)
    again = 1.0 if training.gradient_checkpointing else 0.0
    backward = forward * (1.0 if lora else 2.0)
    attention = _attention(sizes, batch, rates) * (3.5 + again)
    moved = block_bytes(sizes, batch, lora) * (_CELL_PASSES + 2 * again) / rates.copy_bytes
    ops = _FORWARD_OPS * (1 + again) + _BACKWARD_OPS
    ops += _ADAPTER_OPS * len(sizes.linears) if lora else 0
    block = forward * (1 + again) + backward + attention + moved + ops * rates.op_s
    block += _fresh_bytes(sizes, training, batch) * _first_touch(rates)
    return sizes.layers * block + _head(sizes, batch, rates, passes=2 if lora else 3)


def update_seconds(sizes: Sizes, training: Training, rates: Rates) -> float:
    """Seconds of one step of the optimizer and of what stands around it."""
    trained = trainable_parameters(sizes, training.lora)
    return trained * _WEIGHT_MOVES / (2 * rates.copy_bytes) + _STEP_OPS * rates.op_s


def forward_seconds(sizes: Sizes, batch: Batch, rates: Rates) -> float:
    """Seconds of one forward pass without gradients, its answers' logits included."""
    block = _products(sizes, batch.tokens, rates) + _attention(sizes, batch, rates)
    # Without gradients a value is written and read once.
    moved = block_bytes(sizes, batch, None) * 2 / rates.copy_bytes
    block += moved + _FORWARD_OPS * rates.op_s
    return sizes.layers * block + _head(sizes, batch, rates, passes=1)


def writing_seconds(sizes: Sizes, rows: float, cached: float, rates: Rates) -> float:
    """Seconds of one new token for each row of a batch.

    Args:
        sizes: of the model.
        rows: side by side.
        cached: tokens of a row that it looks back at.
        rates: of the machine.

    Returns:
        One pass over the weights, and the cache that grows by a token.
    """
    block = _products(sizes, rows, rates) + _FORWARD_OPS * rates.op_s
    head = rates.product_s(rows, sizes.hidden, sizes.vocab)
    cache = 2 * sizes.layers * sizes.keys * cached * rows * 4
    return sizes.layers * block + head + 2 * cache / rates.copy_bytes + _NEW_TOKEN_S


def _fresh_bytes(sizes: Sizes, training: Training, batch: Batch) -> float:
    """Bytes of new memory that a block's step asks of the system, where freed ones go back."""
    is_given_back = training.gradient_checkpointing and batch.device == "cpu"
    if not is_given_back or input_bytes(sizes, batch) < _GIVEN_BACK_BYTES:
        return 0.0
    fresh = _FRESH_PASSES * block_bytes(sizes, batch, training.lora)
    if training.lora is None:
        return fresh + 4.0 * sum(one.weights for one in sizes.linears)
    beside = sum(one.inputs + one.outputs for one in adapted(sizes, training.lora, 0))
    return fresh + _FRESH_ADAPTER * beside * batch.tokens * batch.value_bytes


def _first_touch(rates: Rates) -> float:
    """Seconds a byte of new memory takes beyond being written, which is half a copy."""
    return max(0.0, 1.0 / rates.touch_bytes - 0.5 / rates.copy_bytes)


def _products(sizes: Sizes, tokens: float, rates: Rates) -> float:
    """Seconds of a block's linear layers, forward."""
    seconds = sum(rates.product_s(tokens, one.inputs, one.outputs) for one in sizes.linears)
    if sizes.experts > 1:
        share = tokens * sizes.active_experts / sizes.experts
        each = 3 * rates.product_s(share, sizes.hidden, sizes.inner)
        seconds += sizes.experts * each
    return seconds


def _attention(sizes: Sizes, batch: Batch, rates: Rates) -> float:
    """Seconds of scores and their sums over values, half of them masked by causality."""
    operations = 2.0 * sizes.queries * batch.width * batch.tokens
    width = min(batch.width, 256)
    return operations / (2.0 * width**3 / rates.product_s(width, width, width))


def _head(sizes: Sizes, batch: Batch, rates: Rates, *, passes: int) -> float:
    """Seconds of head and loss: logits, and the gradients of hidden states and head."""
    products = passes * rates.head_s(batch.answers, sizes.hidden, sizes.vocab)
    moved = _LOGIT_PASSES * batch.answers * sizes.vocab * 4 / rates.copy_bytes
    new = sizes.head_parameters * 4 / rates.touch_bytes if passes == 3 else 0.0
    return products + moved + new
