"""What a training tells of itself while it runs, and the record that is made of it.

Everything goes through the Trainer's log, which checkpoints keep whole: so a training that was
killed ends with the record of one that was not. Seconds and memory go the same way, but are no
part of the record.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from stillhouse.core.kd_metrics import KdMetrics, Series, StepMetrics, Trend, ValidationMetrics
from stillhouse.losses.terms import CE, Objective
from stillhouse.recipes.training import EarlyStopping
from stillhouse.students.trend import Plateau, falls, window_of

EVAL = "eval_"
WATCHED = "watched"
"""An examined metric that decides when to stop, turned so that lower is better."""
LOSS, PERPLEXITY = "loss", "perplexity"

_OF_THE_DAY = ("seconds", "peak_rss_bytes", "peak_gpu_bytes")
Log = Sequence[Mapping[str, Any]]


def own_metrics(objective: Objective) -> tuple[str, ...]:
    """What a training measures on the part validation without asking anybody; lower is better."""
    exact = (PERPLEXITY,) if CE in objective.weights else ()
    return (LOSS, *objective.weights, *exact)


def stopping_key(stopping: EarlyStopping | None, objective: Objective) -> str:
    """Under which name the log holds what decides when to stop; the lowest value is the best."""
    metric = stopping.metric if stopping else LOSS
    return EVAL + (metric if metric in own_metrics(objective) else WATCHED)


def has_stalled(values: Iterable[float], stopping: EarlyStopping) -> bool:
    """Whether the last `patience` values brought no improvement above `min_delta`.

    Args:
        values: of every measurement, lower is better; NaN is no improvement.
        stopping: the recipe's section.

    Returns:
        False before there are `patience` of them.
    """
    best, since = math.inf, 0
    for value in values:
        if value < best - stopping.min_delta:
            best, since = value, 0
        else:
            since += 1
    return since >= stopping.patience


def means_of(names: Sequence[str], sums: Tensor) -> dict[str, float]:
    """The means of loss terms.

    Args:
        names: of the terms.
        sums: (2, terms) float64: sums, and of how many tokens or examples.

    Returns:
        Nats; without those that were measured on nothing.
    """
    totals, counts = sums.tolist()
    found = zip(names, totals, counts, strict=True)
    return {name: total / count for name, total, count in found if count}


class StepWatch:
    """The loss terms of the step that runs, how long it took, and whether the loss still falls.

    Args:
        objective: whose terms.
        num_steps: of the whole training.
    """

    def __init__(self, objective: Objective, num_steps: int) -> None:
        self.plateau = Plateau(window_of(num_steps))
        self._names = tuple(objective.weights)
        self._sums = torch.zeros(2, len(self._names), dtype=torch.float64)
        self._since = time.monotonic()

    def start_step(self) -> None:
        """Forget the terms of the step before."""
        self._sums.zero_()

    def add_batch(self, per_token: Mapping[str, Tensor]) -> None:
        """Add the terms of one batch, (N,) each, of its tokens or its examples."""
        # On the CPU: Apple's GPUs have no float64.
        sums = torch.stack([per_token[name].sum() for name in self._names]).cpu().double()
        counts = sums.new_tensor([len(per_token[name]) for name in self._names])
        self._sums += torch.stack([sums, counts])

    @property
    def sums(self) -> Tensor:
        """(2, terms) float64 of this process: sums, and of how many; as the objective orders."""
        return self._sums

    def terms(self, sums: Tensor) -> dict[str, float]:
        """Means by name over the step's tokens, or its examples; those that it has some of."""
        return means_of(self._names, sums)

    def shown(self, logs: Mapping[str, float]) -> dict[str, float]:
        """What progress shows of an entry of the log."""
        if LOSS in logs:
            shown = {name: logs[name] for name in (LOSS, "learning_rate")}
            level = self.plateau.level_since
            return shown if level is None else shown | {"level_since": float(level)}
        if EVAL + LOSS not in logs:
            return {}
        hidden = {LOSS, WATCHED, PERPLEXITY, *self._names}
        asked = {name.removeprefix(EVAL): logs[name] for name in logs if name.startswith(EVAL)}
        shown = {name: asked[name] for name in asked if name not in hidden and "@" not in name}
        return {"validation_loss": logs[EVAL + LOSS]} | shown

    def of_the_day(self) -> dict[str, float]:
        """Seconds since this was asked last, and the process's peak of memory."""
        now = time.monotonic()
        seconds, self._since = now - self._since, now
        # Linux counts in kilobytes.
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        told = {"seconds": seconds, "peak_rss_bytes": float(peak)}
        if torch.cuda.is_available():
            told["peak_gpu_bytes"] = float(torch.cuda.max_memory_allocated())
        return told

    def follow(self, log: Log) -> None:
        """Hear the losses that a log holds and this has not heard of, also those before a crash."""
        heard = self.plateau.num_steps
        if log[-1]["step"] == heard + 1:
            self.plateau.add(log[-1]["loss"])
            return
        for loss in [entry["loss"] for entry in log if "loss" in entry][heard:]:
            self.plateau.add(loss)


def record_of(log: Log, objective: Objective, num_steps: int) -> KdMetrics:
    """The record of a training.

    Args:
        log: of the Trainer, from the first step on.
        objective: that was minimised.
        num_steps: that the training was meant to take.

    Returns:
        Equal for equal trainings, however often they were killed.
    """
    names = tuple(objective.weights)
    steps = tuple(_step(entry, names) for entry in log if "loss" in entry)
    measured = tuple(_validation(entry, names) for entry in log if EVAL + LOSS in entry)
    trend = _trend([one.loss for one in steps], num_steps) if steps else None
    return KdMetrics(weights=objective.weights, steps=steps, validation=measured, trend=trend)


def series_of(log: Log) -> Series:
    """Seconds and memory of every entry of a log; of a measurement those that it took itself."""
    kept = [entry for entry in log if _OF_THE_DAY[0] in entry]
    names = [name for name in ("step", *_OF_THE_DAY) if all(name in entry for entry in kept)]
    return {name: [float(entry[name]) for entry in kept] for name in names} if kept else {}


def _step(entry: Mapping[str, Any], names: Sequence[str]) -> StepMetrics:
    return StepMetrics(
        step=entry["step"],
        loss=entry["loss"],
        terms={name: entry[name] for name in names if name in entry},
        learning_rate=entry["learning_rate"],
        grad_norm=entry["grad_norm"],
        tokens=entry["tokens"],
    )


def _validation(entry: Mapping[str, Any], names: Sequence[str]) -> ValidationMetrics:
    values = {key.removeprefix(EVAL): value for key, value in entry.items() if key.startswith(EVAL)}
    loss, _ = values.pop(LOSS), values.pop(WATCHED, None)
    terms = {name: values.pop(name) for name in names if name in values}
    return ValidationMetrics(step=entry["step"], loss=loss, terms=terms, metrics=values)


def _trend(losses: Sequence[float], num_steps: int) -> Trend:
    plateau = Plateau(window_of(num_steps))
    for loss in losses:
        plateau.add(loss)
    return Trend(
        first_loss=losses[0],
        last_loss=losses[-1],
        falls=falls(losses),
        level_since=plateau.level_since,
        window=plateau.window,
    )
