"""What an instance will cost, in closed form: tokens, peak memory, disk and time; no torch.

Legend: N parameters, V vocabulary, H width, T tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from stillhouse.recipes.sizes import Sizes
from stillhouse.recipes.trainable import trainable_parameters
from stillhouse.recipes.training import Training

HEAVY_BYTES, LIGHT_BYTES = 400 << 20, 40 << 20
"""measured: peak of an idle process forked with torch, transformers and PEFT, and without."""

ROWS_BYTES = 130 << 20
"""measured: likewise of one that reads and writes Parquet."""

_CHUNK_BYTES, _CHUNK_ROWS = 32 << 20, 256
_HEAD_SHARE, _HEAD_SHARE_BF16 = 0.4, 1.3
"""Logits that the loss holds at once: `losses.fused_linear` cuts its rows by these numbers."""

_CHUNK_COPIES = 3
"""measured: of small chunks, their exponentials and what is gathered from them."""

_SCORED_BYTES = 134 << 20
"""measured: logits that scoring holds at once; `models.logits` keeps them in one buffer."""

_COMPLETION_BYTES = 90
"""measured: of a completion with its scores, compressed."""

_KEPT_CHECKPOINTS = 3
"""`students.arguments` keeps the best, the newest and the one before it."""

_ACTIVATION_FLOATS = 34
"""paper: Korthikanti et al. 2022, arXiv:2205.05198, section 4: values kept a token and width."""

_STEP_SECONDS_A_LAYER = 6e-3
"""measured: a training step's fixed cost a layer on one CPU core, small models."""

_FORWARD_SECONDS_A_LAYER = 3.0e-4
"""measured: likewise, of one forward pass without gradients."""

_OPEN_ROWS = 0.8
"""measured: packed rows of a batch beyond tokens / width, over 8 spreads of lengths and batches of
1 to 32; the tokens that the rows hold are then right within 12 % in 46 of 48 cases."""

_COPY_BYTES_A_SECOND = 2e9
"""measured: growing the caches of a batch by one token, one CPU core."""

_EFFICIENCY = 0.55
"""measured: share of the machine's matrix rate that small models reach in training."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Token counts of the examples that an instance reads.

    Attributes:
        examples: how many.
        tokens: in their conversations, prompt and answer.
        answer_tokens: of these, trained.
        longest: tokens of the longest conversation.
        lengths: of a sample of the conversations, ascending; empty where none was looked at.
    """

    examples: int
    tokens: int
    answer_tokens: int
    longest: int
    lengths: tuple[int, ...] = ()

    def longest_of(self, count: int) -> float:
        """Tokens of the longest among that many, as expected: how wide a batch is."""
        if not self.lengths:
            return min(float(self.longest), 1.35 * self.mean)
        place = count / (count + 1) * len(self.lengths)
        return float(self.lengths[min(len(self.lengths) - 1, int(place))])

    def held_by(self, count: int) -> float:
        """Tokens in the rows of a batch of that many, padding included, when they are packed."""
        width = self.longest_of(count)
        # Two that are longer than half a row never share one.
        long = sum(2 * length > width for length in self.lengths) / max(1, len(self.lengths))
        rows = max(count * self.mean / width + _OPEN_ROWS, count * long)
        return max(count * self.mean, width * min(count, rows))

    @property
    def mean(self) -> float:
        """Tokens an example."""
        return self.tokens / max(1, self.examples)


@dataclass(frozen=True, slots=True)
class Machine:
    """What the estimate knows of the machine.

    Attributes:
        flops: multiply-adds counted as two, a second, of a large product in the run's dtype.
        bytes_per_value: of a weight: 4 or 2.
    """

    flops: float
    bytes_per_value: int


@dataclass(frozen=True, slots=True)
class Cost:
    """The price of one instance.

    Attributes:
        tokens: that pass through a model, repeats counted.
        answer_tokens: of these, trained or scored.
        memory_bytes: peak of the process.
        disk_bytes: of the artifact.
        scratch_bytes: on disk while it works, for a resume; freed when it ends.
        seconds: wall time.
        trainable_parameters: that a training changes.
        calls: of a model behind an API.
        likely_usd: what these cost if prompts and answers are as long as such texts mostly are.
        most_usd: what they cost if every answer is as long as it may be, each asked once.
    """

    tokens: int = 0
    answer_tokens: int = 0
    memory_bytes: int = LIGHT_BYTES
    disk_bytes: int = 0
    scratch_bytes: int = 0
    seconds: float = 1.0
    trainable_parameters: int = 0
    calls: int = 0
    likely_usd: float = 0.0
    most_usd: float = 0.0


def steps_per_pass(training: Training, examples: int) -> int:
    """Optimizer steps of one pass; the last may be short of rows and is filled with empty ones."""
    return max(1, math.ceil(examples / (training.length.batch_size * training.length.accumulation)))


def training_steps(training: Training, examples: int) -> int:
    """Optimizer steps of a training on that many examples."""
    length = training.length
    if length.steps:
        return length.steps
    return max(1, math.ceil((length.epochs or 0.0) * steps_per_pass(training, examples)))


def training_cost(
    sizes: Sizes, training: Training, corpus: Corpus, machine: Machine, *, target_bytes: float = 0.0
) -> Cost:
    """The cost of fine-tuning or distilling one model.

    Args:
        sizes: of the model.
        training: the recipe's section.
        corpus: what it is trained on.
        machine: rate and dtype.
        target_bytes: of the teacher's signal in memory, for each answer token.

    Returns:
        The price of the whole training, validation and checkpoints included.
    """
    length = training.length
    steps = training_steps(training, corpus.examples)
    rows = steps * corpus.examples / steps_per_pass(training, corpus.examples)
    width = corpus.longest_of(length.batch_size)
    held = rows * corpus.held_by(length.batch_size) / length.batch_size
    tokens = rows * corpus.mean
    answers = rows * corpus.answer_tokens / max(1, corpus.examples)
    passes = 2.0 if training.lora else 3.0
    flops = sizes.forward_flops(int(held), int(answers), width / 2) * passes
    if training.gradient_checkpointing:
        flops *= 4.0 / 3.0
    micro_steps = steps * length.accumulation
    overhead = micro_steps * sizes.layers * _STEP_SECONDS_A_LAYER
    # Weights are trained in float32, also where products are made in bfloat16.
    weights = sizes.parameters * 4
    trained = trainable_parameters(sizes, training.lora)
    # Gradient and two moments of AdamW, in float32.
    states = trained * 12
    batch_tokens = length.batch_size * corpus.longest
    kept = _ACTIVATION_FLOATS * sizes.hidden + 2 * sizes.heads * corpus.longest
    layers = 1 if training.gradient_checkpointing else sizes.layers
    activations = batch_tokens * kept * layers * machine.bytes_per_value
    data = corpus.tokens * 16 + corpus.answer_tokens * target_bytes
    batch_answers = batch_tokens * corpus.answer_tokens / max(1, corpus.tokens)
    chunk = _chunk(sizes, batch_answers, machine)
    memory = HEAVY_BYTES + weights + states + activations + chunk + data
    return Cost(
        tokens=int(tokens),
        answer_tokens=int(answers),
        memory_bytes=int(memory),
        disk_bytes=int(trained * 4 + 60 * steps),
        # Weights and two moments, in each of the checkpoints that are kept.
        scratch_bytes=int(_KEPT_CHECKPOINTS * trained * 12),
        seconds=2.0 + overhead + flops / (machine.flops * _EFFICIENCY),
        trainable_parameters=trained,
    )


def scoring_cost(
    sizes: Sizes,
    corpus: Corpus,
    machine: Machine,
    *,
    batch_size: int,
    target_bytes: float,
    shard_bytes: float = 0.0,
) -> Cost:
    """The cost of scoring given text.

    Args:
        sizes: of the model.
        corpus: what is scored.
        machine: rate and dtype.
        batch_size: examples side by side.
        target_bytes: on disk, for each answer token.
        shard_bytes: of the targets that wait in memory until their shard is full.

    Returns:
        The price of a pass over the corpus.
    """
    batches = max(1.0, corpus.examples / batch_size)
    flops = sizes.forward_flops(corpus.tokens, corpus.answer_tokens, corpus.mean / 2)
    stored = corpus.answer_tokens * target_bytes
    return Cost(
        tokens=corpus.tokens,
        answer_tokens=corpus.answer_tokens,
        memory_bytes=int(_inference_memory(sizes, corpus, machine, batch_size) + shard_bytes),
        disk_bytes=int(stored),
        seconds=0.4
        + batches * sizes.layers * _FORWARD_SECONDS_A_LAYER
        + flops / (machine.flops * _EFFICIENCY)
        + stored / 50e6,
    )


def generation_cost(
    sizes: Sizes,
    corpus: Corpus,
    machine: Machine,
    *,
    batch_size: int,
    answer_tokens: float,
    longest_answer: float,
) -> Cost:
    """The cost of completing the prompts of a corpus greedily.

    Args:
        sizes: of the model.
        corpus: the prompts.
        machine: rate and dtype.
        batch_size: prompts side by side.
        answer_tokens: expected length of a completion.
        longest_answer: of a batch; each of its tokens is one pass over the weights.

    Returns:
        The price of all completions.
    """
    batches = max(1.0, corpus.examples / batch_size)
    tokens = corpus.tokens + corpus.examples * answer_tokens
    flops = sizes.forward_flops(int(tokens), int(corpus.examples * answer_tokens), corpus.mean)
    passes = batches * longest_answer
    # Each new token copies the cache of its batch.
    cached = corpus.mean + longest_answer
    values = 2 * sizes.layers * sizes.kv_heads * sizes.head_dim * cached
    cache_bytes = values * min(batch_size, corpus.examples) * machine.bytes_per_value
    return Cost(
        tokens=int(tokens),
        memory_bytes=_inference_memory(sizes, corpus, machine, batch_size),
        disk_bytes=corpus.examples * _COMPLETION_BYTES,
        seconds=0.4
        + passes * (sizes.layers * 2.5 * _FORWARD_SECONDS_A_LAYER + 2e-3)
        + passes * cache_bytes / _COPY_BYTES_A_SECOND
        + flops / (machine.flops * _EFFICIENCY),
    )


def _inference_memory(sizes: Sizes, corpus: Corpus, machine: Machine, batch_size: int) -> int:
    rows = min(batch_size, corpus.examples)
    cache = 2 * sizes.layers * sizes.kv_heads * sizes.head_dim
    # Growing the cache by one token copies it.
    kept = (2 * cache + 16 * sizes.hidden) * rows * corpus.longest * machine.bytes_per_value
    weights = sizes.parameters * machine.bytes_per_value
    answers = rows * corpus.answer_tokens / max(1, corpus.examples)
    chunk = min(_SCORED_BYTES, answers * sizes.vocab * 4.0)
    return int(HEAVY_BYTES + weights + kept + chunk)


def _chunk(sizes: Sizes, answer_tokens: float, machine: Machine) -> float:
    row = sizes.vocab * 4.0
    share = _HEAD_SHARE_BF16 if machine.bytes_per_value < 4 else _HEAD_SHARE
    room = max(_CHUNK_BYTES, share * row * sizes.hidden)
    logits = min(answer_tokens, _CHUNK_ROWS) * row
    return min(room, logits) + _CHUNK_COPIES * min(_CHUNK_BYTES, answer_tokens * row)


def together(*costs: Cost) -> Cost:
    """Costs of one process, one after the other."""
    return Cost(
        tokens=sum(cost.tokens for cost in costs),
        answer_tokens=sum(cost.answer_tokens for cost in costs),
        memory_bytes=max(cost.memory_bytes for cost in costs),
        disk_bytes=sum(cost.disk_bytes for cost in costs),
        scratch_bytes=max(cost.scratch_bytes for cost in costs),
        seconds=sum(cost.seconds for cost in costs),
    )
