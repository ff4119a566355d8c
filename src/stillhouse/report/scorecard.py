"""Scores from 0 to 10 that follow from the page's own numbers; nobody types one in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from stillhouse.report.content import MetricRow, RunReport
from stillhouse.report.findings import ErrorReport, Scorecard, ScoreLine
from stillhouse.report.numbers import interval_text, number_text
from stillhouse.report.record import Estimate

_BEST = 10.0
_BY_DEFINITION = ("agreement", "top1_agreement", "acceptance_rate", "expected_acceptance")
"""What the teacher has in full because it is compared with itself."""
_STUDENT, _TEACHER, _TWIN = "student", "teacher", "twin"


def scorecard(report: RunReport) -> Scorecard | None:
    """A run's scorecard.

    Args:
        report: its page, complete but for the scorecard.

    Returns:
        A line for each score whose numbers are there; None where there is none.
    """
    lines = tuple(line for rule in _RULES for line in rule(report) if math.isfinite(line.score))
    if not lines:
        return None
    return Scorecard(lines=lines, overall=math.fsum(line.score for line in lines) / len(lines))


def _line(title: str, share: float, rule: str, source: str) -> ScoreLine:
    score = _BEST * min(1.0, max(0.0, share))
    return ScoreLine(title=title, score=score, rule=rule, source=source)


def _gate(report: RunReport) -> Iterator[ScoreLine]:
    gates = [gate for gate in (report.gate, *report.other_gates) if gate]
    asked = [rule.outcome for gate in gates for rule in gate.rules]
    outcomes = [outcome for outcome in asked if outcome != "not asked"]
    if outcomes:
        kept = outcomes.count("pass")
        several = f", over {len(gates)} gates" if len(gates) > 1 else ""
        waits = f", {len(asked) - len(outcomes)} not asked" if len(asked) > len(outcomes) else ""
        source = f"gate: {kept} of {len(outcomes)} rules pass{several}{waits}"
        yield _line("Rules of the gate", kept / len(outcomes), "share of rules that pass", source)


def _kept(report: RunReport) -> Iterator[ScoreLine]:
    for metric in rising(report.metrics):
        teacher, student = metric.values.get(_TEACHER), metric.values.get(_STUDENT)
        if teacher and student and teacher.value > 0:
            source = (
                f"{metric.name}: student {number_text(student.value)}, teacher "
                f"{number_text(teacher.value)}"
            )
            yield _line(
                "Quality kept",
                student.value / teacher.value,
                "student over teacher, at most 1",
                source,
            )
            return


def _taught(report: RunReport) -> Iterator[ScoreLine]:
    for metric in report.metrics:
        gap = metric.differences.get(_TWIN)
        if metric.group or gap is None or gap.low is None or gap.high is None:
            continue
        if gap.low == gap.high == 0:
            continue
        sign = 1.0 if metric.better == "higher" else -1.0
        worst, best = sorted((sign * gap.low, sign * gap.high))
        share = 1.0 if worst > 0 else 0.0 if best < 0 else 0.5
        told = f"{number_text(gap.value)} {interval_text(gap.value, gap.low, gap.high)}"
        yield _line(
            "Gain over learning without the teacher",
            share,
            "1 where the interval of student minus twin lies on the better side, 0 where on the "
            "worse, else a half",
            f"{metric.name}, student minus twin: {told}",
        )
        return


def _even(report: RunReport) -> Iterator[ScoreLine]:
    for table in report.slices:
        cells = [row.cells[_STUDENT] for row in table.rows if _STUDENT in row.cells]
        values = [one.value for one in cells if one.is_enough and one.value is not None]
        if table.better == "higher" and len(values) > 1 and max(values) > 0:
            yield _line(
                f"Evenness over {table.kind}",
                min(values) / max(values),
                "weakest slice over strongest, of those with enough examples",
                f"{table.metric} by {table.kind}: {number_text(min(values))} to "
                f"{number_text(max(values))} over {len(values)} slices",
            )
            return


def _calibrated(report: RunReport) -> Iterator[ScoreLine]:
    known = [
        one for one in report.calibration if one.candidate == _STUDENT and one.error is not None
    ]
    if known and known[0].error is not None:
        rule = "1 minus the expected calibration error"
        source = f"calibration of {known[0].of}: error {number_text(known[0].error)}"
        yield _line("Stated probabilities", 1 - known[0].error, rule, source)


def _whole(report: RunReport) -> Iterator[ScoreLine]:
    errors: ErrorReport | None = report.errors
    valid = _value(report.metrics, "valid_json")
    if valid:
        yield _line(
            "Answers in the right form",
            valid.value,
            "share of answers that are valid JSON",
            f"valid_json: student {number_text(valid.value)}, n = {valid.n}",
        )
    elif errors and errors.num_examples:
        cut = sum(one.num_wrong for one in errors.clusters if one.kind == "cut")
        yield _line(
            "Answers that end",
            1 - cut / errors.num_examples,
            "share of answers that are not wrong for being cut",
            f"errors: {cut} of {errors.num_examples} cut",
        )


def _smaller(report: RunReport) -> Iterator[ScoreLine]:
    ratios = report.compression.ratios if report.compression else ()
    for ratio in ratios:
        if ratio.name == "parameters":
            yield _line(
                "Size",
                1 - 1 / ratio.value,
                "share of the teacher's parameters that is saved",
                f"parameters: teacher over student {number_text(ratio.value)}",
            )


def _cheaper(report: RunReport) -> Iterator[ScoreLine]:
    costs = report.costs
    if costs is None or costs.saved_usd_per_thousand is None:
        return
    before = next(c.usd_per_thousand for c in costs.candidates if c.candidate == costs.baseline)
    if before:
        yield _line(
            "Cost of an answer",
            float(costs.saved_usd_per_thousand / before),
            f"share of the cost of {costs.baseline} that is saved",
            f"ledger: {costs.baseline} ${before:.4f} a thousand answers",
        )


_RULES: Sequence[Callable[[RunReport], Iterator[ScoreLine]]] = (
    _gate,
    _kept,
    _taught,
    _even,
    _calibrated,
    _whole,
    _smaller,
    _cheaper,
)


def rising(metrics: Sequence[MetricRow]) -> Iterator[MetricRow]:
    """The metrics of quality that are better when higher and not given by definition."""
    return (
        one
        for one in metrics
        if one.better == "higher" and not one.group and one.name not in _BY_DEFINITION
    )


def _value(metrics: Sequence[MetricRow], name: str) -> Estimate | None:
    return next((m.values[_STUDENT] for m in metrics if m.name == name and _STUDENT in m.values),
                None)  # fmt: skip
