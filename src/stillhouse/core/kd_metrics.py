"""What was measured while a model trained: the records of `kd_metrics.json`, step by step.

Equal in every run of the same artifact. What differs from run to run, seconds and memory, lies
beside it in `artifacts/measured`, with the same steps (`Series`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

KD_METRICS = "kd_metrics.json"
"""The file's name in the artifacts of `finetune` and `train`."""

Series = dict[str, list[float]]
"""Columns of equal length: `step`, and what was measured at it; of several domains each has its
own, as DOMAIN/COLUMN."""


class _Record(BaseModel):
    # A key of a later version is passed over, so that an older Stillhouse reads a newer run.
    model_config = ConfigDict(extra="ignore", frozen=True)


class StepMetrics(_Record):
    """One step of the optimizer.

    Attributes:
        step: from 1.
        loss: what was minimised, the weighted sum of the terms, nats per token.
        terms: each loss term by its name, unweighted, nats per token; `cross_entropy` is that with
            the text, the others are distances to the teacher, multiplied by kd_temperature squared
            where `t2_scaling` says so.
        learning_rate: of this step.
        grad_norm: of the gradient before it was shortened to `max_grad_norm`.
        tokens: trained in this step.
    """

    step: int
    loss: float
    terms: dict[str, float]
    learning_rate: float
    grad_norm: float
    tokens: int


class ValidationMetrics(_Record):
    """One measurement on the part validation.

    Attributes:
        step: after which it was made.
        loss: as in training, over all examples of the part.
        terms: likewise.
        metrics: of the examples that `validation.examples` asks, by the names of `evaluate`; of one
            part of them as `METRIC@KIND=PART`. A metric that is not defined on them is left out.
    """

    step: int
    loss: float
    terms: dict[str, float]
    metrics: dict[str, float]


class Trend(_Record):
    """Whether the training loss fell; see `students/trend.py` for the rules.

    Attributes:
        first_loss: of the first step.
        last_loss: of the last step.
        falls: it fell all over the training, more steadily than chance would have it.
        level_since: the step since which it has not fallen any more; None where it still falls.
        window: steps that are averaged to tell so.
    """

    first_loss: float
    last_loss: float
    falls: bool
    level_since: int | None
    window: int


class KdMetrics(_Record):
    """A whole training.

    Attributes:
        format: of this file.
        weights: of each loss term in `loss`.
        steps: every step that the training took, in order.
        validation: every measurement, in order.
        trend: of the training loss; None of a training without a step.
    """

    format: Literal[1] = 1
    weights: dict[str, float]
    steps: tuple[StepMetrics, ...]
    validation: tuple[ValidationMetrics, ...]
    trend: Trend | None = None
