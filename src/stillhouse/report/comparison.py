"""Runs side by side: what a comparison of some and a leaderboard of all say."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field

from stillhouse.report.content import RunState
from stillhouse.report.findings import Difference
from stillhouse.report.record import Content, Estimate, Text


class RunRow(Content):
    """A run in a few words.

    Attributes:
        name: of the run.
        state: how it ended.
        gate: `pass`, `fail`, `not enough data`, or empty without a gate.
        holdout: a digest; equal for runs that were measured on the same examples.
        estimate: of the metric that a leaderboard is sorted by; None where it was not measured.
        spent_usd: on models behind an API.
        parameters: of the candidate.
        disk_bytes: of what was exported.
    """

    name: Text
    state: RunState
    gate: Text = ""
    holdout: Text = ""
    estimate: Estimate | None = None
    spent_usd: Decimal = Decimal(0)
    parameters: int | None = None
    disk_bytes: int | None = None


class ComparedMetric(Content):
    """One metric of every run, and each later run minus the first, paired by example."""

    name: Text
    title: Text
    better: Literal["lower", "higher"]
    unit: Text = ""
    values: dict[Text, Estimate]
    differences: dict[Text, Difference] = Field(default_factory=dict)


class RecipeLine(Content):
    """A key of the recipe whose value differs; a run without it has an empty text."""

    key: Text
    values: dict[Text, Text]


class RunComparison(Content):
    """Some runs that were measured on the same examples.

    Attributes:
        candidate: whose numbers are compared.
        runs: in the order of the call; differences are to the first.
        metrics: the one that counts most first.
        recipe: the keys whose values differ.
    """

    candidate: Text
    runs: tuple[RunRow, ...]
    metrics: tuple[ComparedMetric, ...]
    recipe: tuple[RecipeLine, ...]


class Leaderboard(Content):
    """All runs of a folder by one metric.

    Attributes:
        metric: its name.
        title: its name for people.
        candidate: whose numbers they are.
        rows: the best first, those without a number last.
        unreadable: names of runs whose record is torn.
    """

    metric: Text
    title: Text
    better: Literal["lower", "higher"]
    unit: Text = ""
    candidate: Text
    rows: tuple[RunRow, ...]
    unreadable: tuple[Text, ...] = ()
