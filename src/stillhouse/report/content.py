"""Everything a run's page shows, as plain frozen data.

The page embeds this as JSON, so a figure on the page can be compared with a manifest by a machine.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stillhouse.report.collected import CollectionView
from stillhouse.report.findings import (
    CandidateRow,
    CompressionView,
    CopiedReport,
    CostView,
    Difference,
    ErrorReport,
    Reliability,
    Scorecard,
    SliceTable,
)
from stillhouse.report.record import Content, Estimate, Number, Text

FORMAT: Literal[2] = 2
"""Raised when a reader of the page's data would read it wrong."""

RunState = Literal["passed", "refused", "failed", "interrupted", "running"]
StageState = Literal["done", "reused", "failed", "skipped"]
RuleOutcome = Literal["pass", "fail", "not enough data", "not asked"]


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
    seconds: Number | None = None
    peak_bytes: int | None = None
    summary: Text = ""


class Curve(Content):
    """One series of (step, value); curves of one name share a colour, of one thing a chart.

    Attributes:
        name: of the model.
        points: steps with their values.
        kind: of the examples that it was measured on.
        unit: of the values; empty for a metric, whose name says it.
        of: what was measured.
    """

    name: Text
    points: tuple[tuple[int, Number], ...]
    kind: Literal["train", "validation"]
    unit: Text = "nats"
    of: Text = "Loss"


class MetricRow(Content):
    """One metric of every candidate that was measured.

    Attributes:
        name: the metric's name in recipes, such as `kl_to_teacher`.
        title: its name for people.
        unit: such as `nats` or `s`; `fraction` and the empty string are not written out.
        values: candidate to estimate, in the order to be shown.
        note: what a reader must know to read it right.
        definition: what it is, in one sentence.
        source: of the definition.
        group: the section it stands in; empty for the comparison.
        differences: candidate to the student's value minus that candidate's.
    """

    name: Text
    title: Text
    better: Literal["lower", "higher"]
    unit: Text = ""
    values: dict[Text, Estimate]
    note: Text = ""
    definition: Text = ""
    source: Text = ""
    group: Literal["", "diversity", "size"] = ""
    differences: dict[Text, Difference] = Field(default_factory=dict)


class FlowStep(Content):
    """What one data step did to the rows."""

    step: Text
    rows_in: int
    rows_out: int
    dropped: dict[Text, int] = Field(default_factory=dict)
    changed: int = 0
    emitted: int = 0
    merged: int = 0
    deferred: dict[Text, int] = Field(default_factory=dict)
    notes: dict[Text, int] = Field(default_factory=dict)

    @property
    def ended(self) -> dict[str, int]:
        """Why rows do not go on, those that another stands for and those that wait included."""
        merged = {"merged into another": self.merged} if self.merged else {}
        waiting = {f"waits: {why}": count for why, count in self.deferred.items()}
        return {**self.dropped, **merged, **waiting}


class CountTable(Content):
    """Numbers that a step told of the rows that went on, by name."""

    title: Text
    numbers: dict[Text, Number]


class RuleRow(Content):
    """One rule of the gate in words, with the value it saw, its limit and why.

    Attributes:
        text: the rule in words.
        value: what was compared; None where it cannot be computed.
        low: its interval's lower bound.
        high: its interval's upper bound.
        limit: what it was compared with.
        outcome: pass, fail, not enough data, or not asked.
        reason: why, in words.
        n: units it rests on.
        n_enough: about how many would decide; 0 where it is decided.
    """

    text: Text
    value: Number | None = None
    low: Number | None = None
    high: Number | None = None
    limit: Number
    outcome: RuleOutcome
    reason: Text = ""
    n: int = 0
    n_enough: int = 0


class GateView(Content):
    """The verdict on one candidate; `passed` is None when there was not enough data.

    Attributes:
        reference: what it is measured against, in words; empty for gold answers.
    """

    passed: bool | None
    candidate: Text
    rules: tuple[RuleRow, ...]
    fallback: Text = ""
    reference: Text = ""

    @property
    def num_not_asked(self) -> int:
        """Rules that there was nobody to compare with for."""
        return sum(rule.outcome == "not asked" for rule in self.rules)


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
        format: of this data; see `FORMAT`.
        headline: what came out, in one sentence.
        reference: what is measured against, in words; empty for gold answers.
        candidates: the models that were measured.
        curves: losses over steps.
        metrics: the one that counts most first; it gives the page's key numbers.
        slices: metrics on parts of the holdout.
        calibration: stated probabilities against how often they are right.
        errors: the student's wrong answers.
        copied: what the student says as it was learned; None where the recipe does not ask.
        costs: money; None where no model behind an API was asked.
        compression: sizes and speeds.
        gate: the verdict that decided: the student's, or of whoever was refused before it.
        other_gates: of the teacher before it labels, and of what ships.
        scorecard: scores computed from the numbers of this page.
        parts: number of examples of each part.
        collection: of songs; None where the rows were not collected from providers.
        licences: of the rows, in words.
        row_tables: what steps told of the rows.
        warnings: what was let through that a recipe holds back by default.
        examples: teacher against student, about twenty.
        facts: (label, value) pairs: recipe hash, versions, device, dtype, threads, seeds.
        recipe_yaml: the recipe as it was run.
    """

    format: Literal[2] = FORMAT
    title: Text
    description: Text = ""
    run_state: RunState
    headline: Text
    reference: Text = ""
    candidates: tuple[CandidateRow, ...] = ()
    stages: tuple[StageRow, ...] = ()
    curves: tuple[Curve, ...] = ()
    metrics: tuple[MetricRow, ...] = ()
    slices: tuple[SliceTable, ...] = ()
    calibration: tuple[Reliability, ...] = ()
    errors: ErrorReport | None = None
    copied: CopiedReport | None = None
    costs: CostView | None = None
    compression: CompressionView | None = None
    scorecard: Scorecard | None = None
    row_flow: tuple[FlowStep, ...] = ()
    parts: dict[Text, int] = Field(default_factory=dict)
    row_tables: tuple[CountTable, ...] = ()
    collection: CollectionView | None = None
    licences: Text = ""
    warnings: tuple[Text, ...] = ()
    gate: GateView | None = None
    other_gates: tuple[GateView, ...] = ()
    examples: tuple[ExampleRow, ...] = ()
    facts: tuple[tuple[Text, Text], ...] = ()
    recipe_yaml: Text = ""
