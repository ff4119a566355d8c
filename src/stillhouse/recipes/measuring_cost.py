"""What it costs to measure a model again and again while it trains."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stillhouse.recipes.estimate import Corpus, Cost, Machine
from stillhouse.recipes.hours import forward_seconds, writing_seconds
from stillhouse.recipes.memory import IN_FLOAT32, inference_memory
from stillhouse.recipes.sizes import Sizes
from stillhouse.recipes.training import Training


@dataclass(frozen=True, slots=True)
class Asked:
    """The examples of a measurement that are answered.

    Attributes:
        texts: which are also scored with the answers that are learned.
        batch_size: side by side.
        longest_answer: tokens that may be written.
    """

    texts: Corpus
    batch_size: int
    longest_answer: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured each time.

    Attributes:
        validation: the examples whose loss is measured.
        teacher: of a live one, which reads them too; None without.
        asked: of them, those that are answered; None where nobody is asked.
    """

    validation: Corpus
    teacher: Sizes | None = None
    asked: Asked | None = None


def with_measurements(
    cost: Cost, sizes: Sizes, training: Training, measured: Measured, machine: Machine
) -> Cost:
    """The cost of a training together with what is measured on the way.

    Args:
        cost: of the training alone.
        sizes: of the model.
        training: the recipe's section.
        measured: each time.
        machine: rates and dtype.

    Returns:
        With more seconds and tokens, and the higher of both peaks of memory.
    """
    if not measured.validation.examples:
        return cost
    times = cost.steps // training.measured_every(cost.steps)
    models = [sizes, measured.teacher] if measured.teacher else [sizes]
    size = training.length.batch_size
    seconds = sum(_reading(one, measured.validation, size, machine) for one in models)
    tokens = measured.validation.tokens
    asked = measured.asked
    if asked:
        seconds += _answering(sizes, asked, machine)
        tokens += 2 * asked.texts.tokens
        cost = _with_peak(cost, sizes, asked, machine)
    return replace(
        cost, seconds=cost.seconds + times * seconds, tokens=cost.tokens + times * tokens
    )


def _reading(sizes: Sizes, corpus: Corpus, size: int, machine: Machine) -> float:
    """Seconds of one pass over a corpus."""
    batches = corpus.examples / size
    width = corpus.longest_of(size)
    answers = size * corpus.mean * corpus.answer_share
    usual = machine.batch(corpus.held_by(size), width, answers, is_masked=size > 1)
    return batches * forward_seconds(sizes, usual, machine.rates)


def _answering(sizes: Sizes, asked: Asked, machine: Machine) -> float:
    """Seconds of answering the prompts and of scoring the texts."""
    texts = asked.texts
    rows = min(asked.batch_size, texts.examples)
    cached = texts.mean + asked.longest_answer / 2
    token = writing_seconds(sizes, rows, cached, machine.rates)
    written = texts.examples / rows * asked.longest_answer * token
    return written + 2 * _reading(sizes, texts, rows, machine)


def _with_peak(cost: Cost, sizes: Sizes, asked: Asked, machine: Machine) -> Cost:
    """With what stays of the training while answers are written, where that is more."""
    rows = min(asked.batch_size, asked.texts.examples)
    writing = inference_memory(
        sizes,
        IN_FLOAT32,
        rows=rows,
        longest=asked.texts.longest,
        answers=rows * asked.texts.answer_tokens / asked.texts.examples,
        device=machine.device,
    ).by_name()
    # Gradients and activations are gone by then.
    stays = ("process", "weights", "file", "teacher", "optimizer", "targets")
    parts = {name: size for name, size in cost.parts.items() if name in stays}
    parts |= {name: writing.get(name, 0) for name in ("activations", "head", "cache")}
    more = sum(parts.values()) - sum(cost.parts.values())
    if more <= 0:
        return cost
    on_device = machine.device == "cuda"
    return replace(
        cost,
        parts=dict(sorted(parts.items(), key=lambda item: -item[1])),
        memory_bytes=cost.memory_bytes + (0 if on_device else more),
        device_bytes=cost.device_bytes + (more if on_device else 0),
    )
