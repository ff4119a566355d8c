"""What an instance will cost, in closed form: tokens, peak memory, disk and time; no torch.

Memory by part is `recipes.memory`, time is `recipes.hours`; here they meet the corpus.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from stillhouse.recipes.activations import Batch
from stillhouse.recipes.hours import (
    forward_seconds,
    step_seconds,
    update_seconds,
    writing_seconds,
)
from stillhouse.recipes.memory import (
    ALONE,
    IN_FLOAT32,
    LIGHT_BYTES,
    Beside,
    Held,
    Parts,
    inference_memory,
    training_memory,
)
from stillhouse.recipes.rates import Rates
from stillhouse.recipes.sizes import Sizes
from stillhouse.recipes.trainable import trainable_parameters
from stillhouse.recipes.trained_shapes import optimizer_bytes
from stillhouse.recipes.training import Train, Training

ROWS_BYTES = 130 << 20
"""measured: peak of an idle process that reads and writes Parquet."""

_ROW_BYTES = 1400
"""measured: benchmarks/streamed_rows.py, what a row costs a training whatever its length."""

_RECORD_BYTES = 520
"""measured: of a step in kd_metrics.json, two loss terms."""

_COMPLETION_BYTES = 90
"""measured: of a completion with its scores, compressed."""

_KEPT_CHECKPOINTS = 3
"""`students.arguments` keeps the best, the newest and the one before it."""

_OPEN_ROWS = 0.8
"""measured: packed rows of a batch beyond tokens / width, over 8 spreads of lengths and batches of
1 to 32; the tokens that the rows hold are then right within 12 % in 46 of 48 cases."""

_FAR_OUT = 3.0
"""assumption: a batch is longer than its mean by this many standard deviations once in 700."""

_STARTING_S = 2.0
"""measured: before the first step of a training, a small model on one CPU core."""

_LOADING_S = 0.4
"""measured: likewise before the first batch is scored or written."""

_STORED_BYTES_A_SECOND = 50e6
"""measured: packing and writing targets."""


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

    def largest_of(self, count: int) -> float:
        """Tokens in the rows of the largest batch of that many that is likely to come."""
        most = float(count * self.longest)
        if not self.lengths:
            return most
        mean = sum(self.lengths) / len(self.lengths)
        spread = math.sqrt(sum((one - mean) ** 2 for one in self.lengths) / len(self.lengths))
        waste = _OPEN_ROWS * self.longest if spread else 0.0
        return min(most, count * mean + _FAR_OUT * spread * math.sqrt(count) + waste)

    @property
    def is_even(self) -> bool:
        """Whether all examples are known to be equally long, so that no row needs a mask."""
        return bool(self.lengths) and self.lengths[0] == self.lengths[-1]

    @property
    def answer_share(self) -> float:
        """Trained tokens of each token."""
        return self.answer_tokens / max(1, self.tokens)

    @property
    def mean(self) -> float:
        """Tokens an example."""
        return self.tokens / max(1, self.examples)


@dataclass(frozen=True, slots=True)
class Machine:
    """What the estimate knows of the machine.

    Attributes:
        rates: what it does in a second.
        bytes_per_value: of a weight that is asked, and of a product: 4 or 2.
        device: kind of it: cpu, cuda, mps.
    """

    rates: Rates
    bytes_per_value: int = 4
    device: str = "cpu"

    def batch(self, tokens: float, width: float, answers: float, *, is_masked: bool) -> Batch:
        """So many tokens in rows of that width, as they pass a model here."""
        return Batch(tokens, width, answers, is_masked, self.bytes_per_value == 2, self.device)


@dataclass(frozen=True, slots=True)
class Cost:
    """The price of one instance.

    Attributes:
        tokens: that pass through a model, repeats counted.
        answer_tokens: of these, trained or scored.
        memory_bytes: peak of the process in the machine's memory.
        device_bytes: peak in the memory of a CUDA device; 0 without one.
        parts: of both peaks together, by what holds them.
        disk_bytes: of the artifact.
        scratch_bytes: on disk while it works, for a resume; freed when it ends.
        seconds: wall time.
        trainable_parameters: that a training changes.
        calls: of a model behind an API.
        likely_usd: what these cost if prompts and answers are as long as such texts mostly are.
        most_usd: what they cost if every answer is as long as it may be, each asked once.
        steps: of the optimizer, of a training.
        epochs: passes over its examples that these make.
    """

    tokens: int = 0
    answer_tokens: int = 0
    memory_bytes: int = LIGHT_BYTES
    device_bytes: int = 0
    parts: dict[str, int] = field(default_factory=dict)
    disk_bytes: int = 0
    scratch_bytes: int = 0
    seconds: float = 1.0
    trainable_parameters: int = 0
    calls: int = 0
    likely_usd: float = 0.0
    most_usd: float = 0.0
    steps: int = 0
    epochs: float = 0.0

    @property
    def needed_bytes(self) -> int:
        """Of the peak in the machine's memory, without pages that the system takes back."""
        return self.memory_bytes - self.parts.get("file", 0)


def training_cost(  # noqa: PLR0913 - what learns, from what, where, beside what
    sizes: Sizes,
    training: Training,
    corpus: Corpus,
    machine: Machine,
    *,
    target_bytes: float = 0.0,
    held: Held = IN_FLOAT32,
    beside: Beside = ALONE,
) -> Cost:
    """The cost of fine-tuning or distilling one model.

    Args:
        sizes: of the model.
        training: the recipe's section.
        corpus: what it is trained on.
        machine: rates and dtype.
        target_bytes: of the teacher's signal in memory, for each answer token.
        held: how the frozen weights lie.
        beside: a live teacher, and how much is kept of a token's signal.

    Returns:
        The price of the whole training, checkpoints included.
    """
    length = training.length
    size = length.batch_size
    steps, epochs = length.num_steps(corpus.examples), length.num_epochs(corpus.examples)
    rows = epochs * corpus.examples
    batches = rows / size
    is_masked = size > 1 and not corpus.is_even
    width, largest = corpus.longest_of(size), corpus.largest_of(size)
    answers = size * corpus.mean * corpus.answer_share
    usual = machine.batch(corpus.held_by(size), width, answers, is_masked=is_masked)
    seconds = step_seconds(sizes, training, usual, machine.rates)
    if beside.teacher:
        seconds += forward_seconds(beside.teacher, usual, machine.rates)
    peak = machine.batch(
        largest, corpus.longest, largest * corpus.answer_share, is_masked=is_masked
    )
    is_held = isinstance(training, Train) and training.weights.class_kl > 0
    data = corpus.tokens * (16 if is_held else 5) + corpus.answer_tokens * target_bytes
    # Texts are read one by one from a file; classes stand in memory.
    kept = data if is_held else corpus.examples * _ROW_BYTES
    parts = training_memory(sizes, training, peak, held, beside.with_targets(kept))
    trained = trainable_parameters(sizes, training.lora)
    return _with_memory(
        Cost(
            tokens=int(rows * corpus.mean),
            answer_tokens=int(rows * corpus.answer_tokens / max(1, corpus.examples)),
            disk_bytes=int(trained * 4 + _RECORD_BYTES * steps),
            scratch_bytes=int(
                _KEPT_CHECKPOINTS * (trained * 4 + optimizer_bytes(sizes, training))
                + (0 if is_held else data)
            ),
            seconds=_STARTING_S
            + batches * seconds
            + steps * update_seconds(sizes, training, machine.rates),
            trainable_parameters=trained,
            steps=steps,
            epochs=epochs,
        ),
        parts,
    )


def scoring_cost(  # noqa: PLR0913 - a model, a text, a machine, and what is kept
    sizes: Sizes,
    corpus: Corpus,
    machine: Machine,
    *,
    batch_size: int,
    target_bytes: float,
    shard_bytes: float = 0.0,
    quantization: str = "none",
) -> Cost:
    """The cost of scoring given text.

    Args:
        sizes: of the model.
        corpus: what is scored.
        machine: rates and dtype.
        batch_size: examples side by side.
        target_bytes: on disk, for each answer token.
        shard_bytes: of the targets that wait in memory until their shard is full.
        quantization: of the model's linear layers.

    Returns:
        The price of a pass over the corpus.
    """
    batches = max(1.0, corpus.examples / batch_size)
    stored = corpus.answer_tokens * target_bytes
    usual = machine.batch(
        corpus.tokens / batches, corpus.mean, corpus.answer_tokens / batches, is_masked=True
    )
    cost = Cost(
        tokens=corpus.tokens,
        answer_tokens=corpus.answer_tokens,
        disk_bytes=int(stored),
        seconds=_LOADING_S
        + batches * forward_seconds(sizes, usual, machine.rates)
        + stored / _STORED_BYTES_A_SECOND,
    )
    return _with_memory(
        cost, _inference(sizes, corpus, machine, batch_size, quantization), shard_bytes
    )


def generation_cost(  # noqa: PLR0913 - a model, prompts, a machine, and how long answers are
    sizes: Sizes,
    corpus: Corpus,
    machine: Machine,
    *,
    batch_size: int,
    answer_tokens: float,
    longest_answer: float,
    quantization: str = "none",
) -> Cost:
    """The cost of completing the prompts of a corpus greedily.

    Args:
        sizes: of the model.
        corpus: the prompts.
        machine: rates and dtype.
        batch_size: prompts side by side.
        answer_tokens: expected length of a completion.
        longest_answer: of a batch; each of its tokens is one pass over the weights.
        quantization: of the model's linear layers.

    Returns:
        The price of all completions.
    """
    rows = min(batch_size, max(1, corpus.examples))
    batches = max(1.0, corpus.examples / batch_size)
    prompts = machine.batch(corpus.tokens / batches, corpus.mean, 0.0, is_masked=True)
    each = writing_seconds(sizes, rows, corpus.mean + longest_answer / 2, machine.rates)
    cost = Cost(
        tokens=int(corpus.tokens + corpus.examples * answer_tokens),
        disk_bytes=corpus.examples * _COMPLETION_BYTES,
        seconds=_LOADING_S
        + batches * forward_seconds(sizes, prompts, machine.rates)
        + batches * longest_answer * each,
    )
    return _with_memory(cost, _inference(sizes, corpus, machine, batch_size, quantization))


def _inference(
    sizes: Sizes, corpus: Corpus, machine: Machine, batch_size: int, quantization: str
) -> Parts:
    rows = min(batch_size, corpus.examples)
    return inference_memory(
        sizes,
        Held(machine.bytes_per_value, quantization),
        rows=rows,
        longest=corpus.longest,
        answers=rows * corpus.answer_tokens / max(1, corpus.examples),
        device=machine.device,
    )


def _with_memory(cost: Cost, parts: Parts, waiting: float = 0.0) -> Cost:
    """The cost with what a peak holds, and targets that wait beside it."""
    held = replace(parts, targets=parts.targets + waiting)
    return replace(
        cost, memory_bytes=held.on_host, device_bytes=held.on_device, parts=held.by_name()
    )


def together(*costs: Cost) -> Cost:
    """Costs of one process, one after the other."""
    largest = max(costs, key=lambda cost: cost.memory_bytes + cost.device_bytes)
    return Cost(
        tokens=sum(cost.tokens for cost in costs),
        answer_tokens=sum(cost.answer_tokens for cost in costs),
        memory_bytes=max(cost.memory_bytes for cost in costs),
        device_bytes=max(cost.device_bytes for cost in costs),
        parts=largest.parts,
        disk_bytes=sum(cost.disk_bytes for cost in costs),
        scratch_bytes=max(cost.scratch_bytes for cost in costs),
        seconds=sum(cost.seconds for cost in costs),
    )


def share_of(corpus: Corpus, share: float) -> Corpus:
    """A corpus of so many times the examples, at least one of them."""
    return replace(
        corpus,
        examples=max(1, round(corpus.examples * share)),
        tokens=round(corpus.tokens * share),
        answer_tokens=round(corpus.answer_tokens * share),
    )


def repeated(corpus: Corpus, times: int) -> Corpus:
    """A corpus whose every example stands there so often, as with several samples of each."""
    return replace(
        corpus,
        examples=corpus.examples * times,
        tokens=corpus.tokens * times,
        answer_tokens=corpus.answer_tokens * times,
    )
