"""What an evaluation says of itself: the JSON that `evaluate` writes and the report reads.

Everything but `examples`, `cut` and `metrics` may be missing: older runs do not have it, and not
every candidate can give it. How fast a candidate is differs from run to run, so a `Speed` goes
through `StageResult.measured` (`as_measured`, `from_measured`), never into the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from stillhouse.recipes.measuring import Reference

ENOUGH_FOR_A_SLICE = 30
"""assumption: below this n an interval of a fraction is wider than most differences of slices."""


class _Record(BaseModel):
    # A key of a later version is passed over, so that an older Stillhouse reads a newer run.
    model_config = ConfigDict(extra="ignore", frozen=True)


class MetricSummary(_Record):
    """One metric of a candidate, with what a reader must know of it.

    Attributes:
        value: on all examples.
        low: the interval's lower bound.
        high: the interval's upper bound.
        n: units it rests on.
        title: for people.
        better: which direction is good.
        unit: of the value; empty for a fraction.
        note: what a reader must know to read it right.
        definition: what it is, in one sentence.
        source: of the definition: a paper with its section, or a library.
    """

    value: float
    low: float
    high: float
    n: int
    title: str
    better: Literal["lower", "higher"]
    unit: str = ""
    note: str = ""
    definition: str = ""
    source: str = ""


class SliceSummary(_Record):
    """One metric on a part of the holdout.

    Attributes:
        kind: what the holdout was cut by, such as `genre`, `class` or `length`.
        name: of this part, such as `rock`, `refund` or `up to 120 characters`.
        metric: the metric's name.
        n: units it rests on.
        value: None where it is not defined on this part.
        low: the interval's lower bound.
        high: the interval's upper bound.
    """

    kind: str
    name: str
    metric: str
    n: int
    value: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def is_enough(self) -> bool:
        """Whether the part is large enough to be read as a result."""
        return self.value is not None and self.n >= ENOUGH_FOR_A_SLICE


class CalibrationBin(_Record):
    """The answers whose stated probability lies between two edges.

    Attributes:
        low: lower edge, in [0, 1].
        high: upper edge.
        n: answers in it; an empty one is not written.
        confidence: their mean stated probability.
        accuracy: the share of them that was right.
        accuracy_low: the share's lower bound.
        accuracy_high: the share's upper bound.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float


class CalibrationSummary(_Record):
    """How far a stated probability is how often it is right.

    Attributes:
        of: what was said with a probability: `answer`, or a field's name.
        title: for people.
        bins: in order of their edges, those with answers.
        error: the expected calibration error, in [0, 1].
        note: where the probability comes from.
    """

    of: str
    title: str
    bins: tuple[CalibrationBin, ...]
    error: float | None = None
    note: str = ""


class SizeSummary(_Record):
    """How large a candidate is.

    Attributes:
        parameters: all of them, shared ones once.
        bytes_by_dtype: what the weights would take in a dtype, such as `float32`.
        disk_bytes: of its files as they are; None where they are not ours.
        dtype: in which it was measured.
    """

    parameters: int
    bytes_by_dtype: dict[str, int] = {}
    disk_bytes: int | None = None
    dtype: str = ""


class EvaluationSummary(_Record):
    """The summary of one `evaluate` instance.

    Attributes:
        examples: of the holdout.
        cut: answers that were cut at their longest.
        metrics: by name.
        slices: metrics on parts of the holdout.
        calibration: one entry for each thing said with a probability.
        size: of the candidate; None for a teacher behind an API.
        production: the version that is measured as `production`, such as `tickets@3`.
        reference: whose answers it is measured against.
        left_out: reason to the number of rows that nobody is measured on, because the teacher gave
            no answer to measure against.
    """

    examples: int
    cut: int = 0
    metrics: dict[str, MetricSummary] = {}
    slices: tuple[SliceSummary, ...] = ()
    calibration: tuple[CalibrationSummary, ...] = ()
    size: SizeSummary | None = None
    production: str = ""
    reference: Reference = "gold"
    left_out: dict[str, int] = {}


class Speed(_Record):
    """How fast a candidate answered, on the machine of this run.

    Attributes:
        latency_n: single requests, one after another.
        latency_mean_s: seconds a request, from prompt to last token.
        latency_p50_s: their median.
        latency_p95_s: their 95th percentile, interpolated.
        per_minute: answers a minute, `batch_size` side by side.
        batch_size: of `per_minute`.
        tokens_per_s: tokens written a second, side by side.
    """

    latency_n: int = 0
    latency_mean_s: float | None = None
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    per_minute: float | None = None
    batch_size: int = 0
    tokens_per_s: float | None = None

    def as_measured(self) -> dict[str, float]:
        """The numbers that are known, for `StageResult.measured`."""
        return {name: float(value) for name, value in self.model_dump(exclude_none=True).items()}

    @classmethod
    def from_measured(cls, measured: Mapping[str, float]) -> Self | None:
        """What `as_measured` gave, out of all that was measured; None where nothing was."""
        found = {name: measured[name] for name in cls.model_fields if name in measured}
        return cls.model_validate(found) if found else None
