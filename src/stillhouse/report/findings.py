"""What a page says beyond single numbers: slices, calibration, errors, costs, sizes, scores."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field

from stillhouse.report.record import Content, Number, Text


class CandidateRow(Content):
    """One of the models that were measured.

    Attributes:
        name: as everywhere on the page, such as `twin`.
        role: what it is, in a few words.
    """

    name: Text
    role: Text


class Difference(Content):
    """The student's metric minus another candidate's, on the same examples.

    Attributes:
        value: on all examples.
        low: the interval's lower bound; None where it has none.
        high: the interval's upper bound.
        n: units it rests on.
        p_value: of the hypothesis that both are alike; None where it was not tested.
        p_corrected: the same, corrected for all comparisons of the page.
        test: how `p_value` was found.
    """

    value: Number
    low: Number | None = None
    high: Number | None = None
    n: int
    p_value: Number | None = None
    p_corrected: Number | None = None
    test: Text = ""


class SliceCell(Content):
    """A candidate's metric on one slice; `is_enough` is false where it is too small to tell."""

    value: Number | None = None
    low: Number | None = None
    high: Number | None = None
    n: int
    is_enough: bool


class SliceRow(Content):
    """One slice of the holdout with what every candidate did on it."""

    name: Text
    cells: dict[Text, SliceCell]


class SliceTable(Content):
    """A metric on every slice of one kind.

    Attributes:
        kind: what the holdout was cut by, such as `genre`.
        metric: the metric's name.
        title: the metric's name for people.
        enough: below this n a slice is no result.
        rows: the weakest of the student first, those that are too small last.
    """

    kind: Text
    metric: Text
    title: Text
    better: Literal["lower", "higher"]
    unit: Text = ""
    enough: int
    rows: tuple[SliceRow, ...]


class ReliabilityBin(Content):
    """The answers whose stated probability lies between two edges, and how many were right."""

    low: Number
    high: Number
    n: int
    confidence: Number
    accuracy: Number
    accuracy_low: Number
    accuracy_high: Number


class Reliability(Content):
    """How far a candidate's stated probability is how often it is right.

    Attributes:
        candidate: who.
        of: what was said with a probability: `answer`, or a field's name.
        title: that, for people.
        bins: in order of their edges.
        error: expected calibration error, in [0, 1].
        note: where the probability comes from.
    """

    candidate: Text
    of: Text
    title: Text
    bins: tuple[ReliabilityBin, ...]
    error: Number | None = None
    note: Text = ""


class ErrorExample(Content):
    """One wrong answer."""

    example_id: Text
    prompt: Text
    expected: Text
    given: Text


class ErrorCluster(Content):
    """Wrong answers that have something in common.

    Attributes:
        kind: `cut`, `no JSON`, `confusion`, `class`, `slice` or `words`.
        title: what they have in common.
        num_wrong: how many of them.
        num_seen: how many examples have it, right ones included.
        advice: what to add or change, with the counts that say so.
        examples: some of them.
    """

    kind: Text
    title: Text
    num_wrong: int
    num_seen: int
    advice: Text
    examples: tuple[ErrorExample, ...] = ()


class ErrorReport(Content):
    """A candidate's wrong answers; an example may stand in several clusters."""

    candidate: Text
    num_wrong: int
    num_examples: int
    clusters: tuple[ErrorCluster, ...] = ()


class CopiedAnswer(Content):
    """An answer that shares a long passage with one that was learned, or nearly is one.

    Attributes:
        example_id: of the example that was asked.
        learned_id: of the example whose answer was learned.
        passage: what they share; empty for a near copy without so long a passage.
        num_words: of the passage.
        likeness: of both whole, in [0, 1]; 0 where they are not near copies.
        given: the answer.
    """

    example_id: Text
    learned_id: Text
    passage: Text
    num_words: int
    likeness: Number
    given: Text


class CopiedReport(Content):
    """What a candidate says word for word as it was learned.

    Attributes:
        candidate: whose answers they are.
        num_copied: answers that share a passage or nearly are copies.
        num_examples: answers in all.
        num_learned: answers that were learned.
        num_prompts_seen: prompts that share a long passage with one that was learned from.
        answers: some that are copied, the longest passage first.
    """

    candidate: Text
    num_copied: int
    num_examples: int
    num_learned: int
    num_prompts_seen: int
    answers: tuple[CopiedAnswer, ...] = ()


class SpendingRow(Content):
    """What one stage spent on models behind an API."""

    stage: Text
    requests: int
    accepted: int
    tokens: int
    spent_usd: Decimal
    unknown_usd: Decimal


class CandidateCost(Content):
    """What a thousand answers of a candidate cost.

    Attributes:
        candidate: who.
        usd_per_thousand: paid to others; 0 for a model of one's own.
        seconds_per_thousand: of this machine's time; None where it was not measured.
        source: what the numbers were read from.
    """

    candidate: Text
    usd_per_thousand: Decimal | None = None
    seconds_per_thousand: Number | None = None
    source: Text = ""


class CostView(Content):
    """Money of a run.

    Attributes:
        stages: in the order of their first call.
        spent_usd: by all of them.
        budget_usd: what the recipe allows; None for no limit.
        candidates: cost of a thousand answers.
        saved_usd_per_thousand: the baseline's cost minus the student's; None where unknown.
        baseline: who the student is compared with.
        answers_to_pay_back: after so many answers the student has cost less than the baseline.
    """

    stages: tuple[SpendingRow, ...] = ()
    spent_usd: Decimal
    budget_usd: Decimal | None = None
    candidates: tuple[CandidateCost, ...] = ()
    saved_usd_per_thousand: Decimal | None = None
    baseline: Text = ""
    answers_to_pay_back: int | None = None


class SizeRow(Content):
    """How large and how fast a candidate is.

    Attributes:
        candidate: who.
        parameters: all of them.
        bytes_by_dtype: what the weights take in each dtype.
        disk_bytes: of its files.
        dtype: in which it was measured.
        latency_n: requests that were timed alone.
        latency_mean_s: seconds of one request alone.
        latency_p50_s: median of that.
        latency_p95_s: 95th percentile of that.
        per_minute: answers a minute, side by side.
        source: what the numbers were read from.
    """

    candidate: Text
    parameters: int | None = None
    bytes_by_dtype: dict[Text, int] = Field(default_factory=dict)
    disk_bytes: int | None = None
    dtype: Text = ""
    latency_n: int = 0
    latency_mean_s: Number | None = None
    latency_p50_s: Number | None = None
    latency_p95_s: Number | None = None
    per_minute: Number | None = None
    source: Text = ""


class Ratio(Content):
    """The teacher's size or time over the student's; below 1 the student is the larger one.

    Attributes:
        name: such as `parameters` or `bfloat16 to float32`.
        value: the ratio.
        words: as people say it, such as `2.6 times smaller`.
        is_pair: the bytes of a pair of dtypes; such a ratio means little without its dtypes.
    """

    name: Text
    value: Number
    words: Text
    is_pair: bool = False


class ClaimRow(Content):
    """What is claimed of a pair of models, beside what this run measured.

    Attributes:
        claim: as it is made.
        measured: of this run, in words; empty where it was not measured.
        note: how the two belong together.
    """

    claim: Text
    measured: Text = ""
    note: Text = ""


class CompressionView(Content):
    """What is smaller and faster, and how much of the quality is left.

    Attributes:
        rows: one a candidate.
        ratios: of teacher and student, where both are known.
        claims: made of this pair of models elsewhere.
        kept_metric: title of the metric that says what is kept.
        kept: the student's value over the teacher's; None where it cannot be said.
    """

    rows: tuple[SizeRow, ...]
    ratios: tuple[Ratio, ...] = ()
    claims: tuple[ClaimRow, ...] = ()
    kept_metric: Text = ""
    kept: Number | None = None


class ScoreLine(Content):
    """One line of the scorecard.

    Attributes:
        title: what is scored.
        score: from 0 to 10.
        rule: how it follows from the source.
        source: the number that it was computed from, with its name.
    """

    title: Text
    score: Number
    rule: Text
    source: Text


class Scorecard(Content):
    """Scores from 0 to 10, each computed from numbers of this page; `overall` is their mean."""

    lines: tuple[ScoreLine, ...]
    overall: Number
