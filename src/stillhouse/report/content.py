"""Everything a run's page shows, as plain frozen data.

The page embeds this as JSON, so a figure on the page can be compared with a manifest by a machine.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

RunState = Literal["passed", "refused", "failed", "interrupted", "running"]
StageState = Literal["done", "reused", "failed", "skipped"]
RuleOutcome = Literal["pass", "fail", "not enough data"]


def writable(text: str) -> str:
    """The text with U+FFFD for each lone surrogate, which no file could hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


Text = Annotated[str, AfterValidator(writable)]


class Content(BaseModel):
    """Frozen plain data; NaN and infinities survive the way through JSON as strings."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class StageRow(Content):
    """One stage instance: what became of it and what it cost.

    Attributes:
        name: the stage, such as `train`.
        instance: which of the stage's instances; empty when there is only one.
        artifact_id: the folder it wrote; empty when it wrote none.
        seconds: wall time; None when it did not run.
        peak_bytes: peak memory of its process; None when it did not run or was not measured.
        summary: one sentence.
    """

    name: Text
    instance: Text = ""
    artifact_id: Text = ""
    state: StageState
    seconds: float | None = None
    peak_bytes: int | None = None
    summary: Text = ""


class Curve(Content):
    """One series of (step, value); curves of one name share a colour, of one unit a chart."""

    name: Text
    points: tuple[tuple[int, float], ...]
    kind: Literal["train", "validation"]
    unit: Text = "nats"


class Estimate(Content):
    """A number with its interval; `low` and `high` are None where none was computed."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int


class MetricRow(Content):
    """One metric of every candidate that was measured.

    Attributes:
        name: the metric's name in recipes, such as `kl_to_teacher`.
        title: its name for people.
        unit: such as `nats` or `s`; `fraction` and the empty string are not written out.
        values: candidate to estimate, in the order to be shown.
        note: what a reader must know to read it right.
    """

    name: Text
    title: Text
    better: Literal["lower", "higher"]
    unit: Text = ""
    values: dict[Text, Estimate]
    note: Text = ""


class FlowStep(Content):
    """What one data step did to the rows."""

    step: Text
    rows_in: int
    rows_out: int
    dropped: dict[Text, int] = {}
    changed: int = 0
    emitted: int = 0


class RuleRow(Content):
    """One rule of the gate in words, with the value it saw, its limit and why."""

    text: Text
    value: float | None = None
    limit: float
    outcome: RuleOutcome
    reason: Text = ""


class GateView(Content):
    """The verdict on one candidate; `passed` is None when there was not enough data."""

    passed: bool | None
    candidate: Text
    rules: tuple[RuleRow, ...]
    fallback: Text = ""


class ExampleRow(Content):
    """One holdout example with every candidate's answer; `agrees`: student with teacher."""

    example_id: Text
    prompt: Text
    reference: Text = ""
    answers: dict[Text, Text]
    agrees: bool


class RunReport(Content):
    """The whole page. A section whose data is empty is left out.

    Attributes:
        headline: what came out, in one sentence.
        curves: losses over steps.
        metrics: the one that counts most first; it gives the page's key numbers.
        parts: number of examples of each part.
        examples: teacher against student, about twenty.
        facts: (label, value) pairs: recipe hash, versions, device, dtype, threads, seeds.
        recipe_yaml: the recipe as it was run.
    """

    title: Text
    description: Text = ""
    run_state: RunState
    headline: Text
    stages: tuple[StageRow, ...] = ()
    curves: tuple[Curve, ...] = ()
    metrics: tuple[MetricRow, ...] = ()
    row_flow: tuple[FlowStep, ...] = ()
    parts: dict[Text, int] = {}
    gate: GateView | None = None
    examples: tuple[ExampleRow, ...] = ()
    facts: tuple[tuple[Text, Text], ...] = ()
    recipe_yaml: Text = ""
