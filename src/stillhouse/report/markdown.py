"""A run's report as Markdown: the sections and numbers of the page, without its charts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from stillhouse.report.charts import dtypes_of, slice_names, stage_costs
from stillhouse.report.collected import CollectionView
from stillhouse.report.content import MetricRow, RunReport
from stillhouse.report.findings import Difference, SliceCell
from stillhouse.report.numbers import (
    MISSING,
    count_text,
    duration_text,
    interval_text,
    latency_text,
    limit_text,
    memory_text,
    number_text,
    p_text,
    score_text,
    signed_text,
    size_text,
    unit_text,
    usd_text,
)
from stillhouse.report.page import badge_of, contents_of, differences_words, visible
from stillhouse.report.record import Estimate

_SPECIAL = re.compile(r"[\\`*<>|~$]|(?<!\w)[_#]|_(?!\w)|\](?=[(\[:])")
"""What would be read as a sign; an underscore inside a word is none, nor is a lone bracket."""


def markdown_text(text: str) -> str:
    """Text as Markdown shows it on one line, whatever it holds."""
    flat = " ".join(visible(text).split())
    return _SPECIAL.sub(r"\\\g<0>", flat).replace("&", "&amp;")


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are Markdown already, the first column is on the left, others on the right.

    Args:
        header: of each column.
        rows: as many cells each.

    Returns:
        Its lines.
    """
    marks = ["---", *["---:"] * (len(header) - 1)]
    lines = [header, marks, *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def render_markdown(content: RunReport) -> str:
    """The report as Markdown; equal content gives equal text.

    Args:
        content: as for the page.

    Returns:
        The same numbers as the page's, each with its interval.
    """
    parts = [f"# {markdown_text(content.title)}"]
    if content.description:
        parts.append(markdown_text(content.description))
    parts.append(f"**{badge_of(content).words}.** {markdown_text(content.headline)}")
    if content.reference:
        parts.append(markdown_text(content.reference))
    for anchor, words in contents_of(content):
        if anchor in _SECTIONS:
            parts += [f"## {words}", *_SECTIONS[anchor](content)]
    return "\n\n".join(parts) + "\n"


def estimate_text(estimate: Estimate | SliceCell | Difference | None) -> str:
    """A number with its interval, on one line; a dash for nothing."""
    if estimate is None or estimate.value is None:
        return MISSING
    bounds = interval_text(estimate.value, estimate.low, estimate.high)
    return f"{number_text(estimate.value)} {bounds}".strip()


def difference_text(gap: Difference | None) -> str:
    """A paired difference with its sign, its interval and its corrected p value."""
    if gap is None:
        return MISSING
    bounds = interval_text(gap.value, gap.low, gap.high)
    tested = f", p {p_text(gap.p_corrected)}" if gap.p_corrected is not None else ""
    return f"{signed_text(gap.value)} {bounds}{tested}".strip()


def _gate(content: RunReport) -> Iterator[str]:
    gates = [gate for gate in (content.gate, *content.other_gates) if gate]
    for gate in gates:
        words = {True: "passes", False: "is refused", None: "had not enough data to pass"}
        instead = f"; use {markdown_text(gate.fallback)} instead" if not gate.passed else ""
        waits = f"; {gate.num_not_asked} of its rules not asked" if gate.num_not_asked else ""
        against = f", against {gate.reference}" if gate.reference else ""
        yield f"{markdown_text(gate.candidate)} {words[gate.passed]}{against}{waits}{instead}."
        rows = [
            (
                markdown_text(rule.text),
                number_text(rule.value),
                limit_text(rule.limit),
                count_text(rule.n),
                count_text(rule.n_enough) if rule.n_enough else MISSING,
                rule.outcome,
                markdown_text(rule.reason),
            )
            for rule in gate.rules
        ]
        yield markdown_table(("rule", "value", "limit", "n", "n needed", "outcome", "why"), rows)


def _metrics(content: RunReport) -> Iterator[str]:
    if content.candidates:
        yield "\n".join(
            f"- **{markdown_text(one.name)}**: {markdown_text(one.role)}"
            for one in content.candidates
        )
    yield from _metric_tables([m for m in content.metrics if not m.group], content)


def _diversity(content: RunReport) -> Iterator[str]:
    yield from _metric_tables([m for m in content.metrics if m.group == "diversity"], content)


def _metric_tables(metrics: Sequence[MetricRow], content: RunReport) -> Iterator[str]:
    yield f"Differences are paired: both answered the same examples{differences_words(content)}."
    rows = [
        (
            f"{markdown_text(metric.title)} ({metric.better} is better)",
            markdown_text(name),
            f"{estimate_text(estimate)} {markdown_text(unit_text(metric.unit))}".strip(),
            count_text(estimate.n),
            difference_text(metric.differences.get(name)),
        )
        for metric in metrics
        for name, estimate in metric.values.items()
    ]
    yield markdown_table(("metric", "candidate", "value", "n", "student minus it"), rows)
    notes = [f"- {markdown_text(m.title)}: {markdown_text(m.note)}" for m in metrics if m.note]
    if notes:
        yield "\n".join(notes)


def _scorecard(content: RunReport) -> Iterator[str]:
    card = content.scorecard
    if card is None:
        return
    yield f"{score_text(card.overall)} of 10, the mean of {len(card.lines)} lines."
    rows = [
        (
            markdown_text(one.title),
            score_text(one.score),
            f"10 × {markdown_text(one.rule)}",
            markdown_text(one.source),
        )
        for one in card.lines
    ]
    yield markdown_table(("line", "score", "computed as", "from"), rows)


def _slices(content: RunReport) -> Iterator[str]:
    for table in content.slices:
        names = slice_names(table)
        yield f"### {markdown_text(table.title)} by {markdown_text(table.kind)}"
        rows = []
        for row in table.rows:
            cells = [row.cells.get(name) for name in names]
            known = [cell for cell in cells if cell]
            small = "" if any(cell.is_enough for cell in known) else ", not enough data"
            numbers = [estimate_text(cell) for cell in cells]
            n = count_text(known[0].n) if known else MISSING
            rows.append((markdown_text(row.name), f"{n}{small}", *numbers))
        header = (markdown_text(table.kind), "n", *map(markdown_text, names))
        yield markdown_table(header, rows)


def _calibration(content: RunReport) -> Iterator[str]:
    for found in content.calibration:
        yield f"### {markdown_text(found.candidate)}, {markdown_text(found.title)}"
        if found.error is not None:
            yield f"Expected calibration error {number_text(found.error)}."
        rows = [
            (
                f"{limit_text(one.low)} to {limit_text(one.high)}",
                count_text(one.n),
                number_text(one.confidence),
                number_text(one.accuracy),
                interval_text(one.accuracy, one.accuracy_low, one.accuracy_high),
            )
            for one in found.bins
        ]
        yield markdown_table(("stated", "answers", "mean stated", "right", "interval"), rows)


def _errors(content: RunReport) -> Iterator[str]:
    errors = content.errors
    if errors is None:
        return
    yield (
        f"{markdown_text(errors.candidate)} is wrong in {count_text(errors.num_wrong)} of "
        f"{count_text(errors.num_examples)} examples."
    )
    if errors.clusters:
        yield "\n".join(
            f"- **{markdown_text(one.title)}**, {count_text(one.num_wrong)} wrong of "
            f"{count_text(one.num_seen)}: {markdown_text(one.advice)}."
            for one in errors.clusters
        )


def _copied(content: RunReport) -> Iterator[str]:
    copied = content.copied
    if copied is None:
        return
    yield (
        f"{markdown_text(copied.candidate)} says {count_text(copied.num_copied)} of "
        f"{count_text(copied.num_examples)} answers as one of {count_text(copied.num_learned)} "
        f"that were learned; {count_text(copied.num_prompts_seen)} prompts share a long passage "
        "with one that was learned from."
    )
    rows = [
        (
            markdown_text(one.example_id),
            markdown_text(one.learned_id),
            count_text(one.num_words),
            markdown_text(one.passage or one.given),
        )
        for one in copied.answers
    ]
    if rows:
        yield markdown_table(("example", "learned", "words in a row", "text"), rows)


def _costs(content: RunReport) -> Iterator[str]:
    costs = content.costs
    if costs is None:
        return
    text = f"Spent: {usd_text(costs.spent_usd)}."
    if costs.saved_usd_per_thousand is not None:
        saved = usd_text(costs.saved_usd_per_thousand)
        text += f" Against {markdown_text(costs.baseline)} saved: {saved} per thousand answers."
    if costs.answers_to_pay_back:
        text += f" Would pay for itself after {count_text(costs.answers_to_pay_back)} answers."
    yield text.replace("$", r"\$")
    rows: list[tuple[str, ...]] = [
        (
            markdown_text(one.candidate),
            usd_text(one.usd_per_thousand).replace("$", r"\$"),
            duration_text(one.seconds_per_thousand),
            markdown_text(one.source),
        )
        for one in costs.candidates
    ]
    yield markdown_table(("a thousand answers of", "paid to others", "time here", "from"), rows)
    rows = [
        (
            markdown_text(one.stage),
            usd_text(one.spent_usd).replace("$", r"\$"),
            usd_text(one.unknown_usd).replace("$", r"\$"),
            count_text(one.requests),
            count_text(one.accepted),
            count_text(one.tokens),
        )
        for one in costs.stages
    ]
    yield markdown_table(("stage", "spent", "of it unknown", "asked", "used", "tokens"), rows)


def _compression(content: RunReport) -> Iterator[str]:
    view = content.compression
    if view is None:
        return
    if view.kept is not None:
        yield f"Quality kept: {number_text(view.kept)} of the teacher's {view.kept_metric.lower()}."
    dtypes = dtypes_of(view)
    rows = [
        (
            markdown_text(row.candidate),
            MISSING if row.parameters is None else count_text(row.parameters),
            *(size_text(row.bytes_by_dtype.get(name)) for name in dtypes),
            size_text(row.disk_bytes),
            latency_text(row.latency_p50_s),
            latency_text(row.latency_mean_s),
            latency_text(row.latency_p95_s),
            number_text(row.per_minute),
        )
        for row in view.rows
    ]
    behind = ("on disk", "latency, median", "mean", "95th percentile", "answers a minute")
    sizes = (f"in {markdown_text(name)}" for name in dtypes)
    yield markdown_table(("candidate", "parameters", *sizes, *behind), rows)
    if view.ratios:
        told = [(one.name, number_text(one.value), one.words) for one in view.ratios]
        yield markdown_table(("teacher over student", "ratio", "in words"), told)
    if view.claims:
        said = [(one.claim, one.measured or MISSING, one.note) for one in view.claims]
        yield markdown_table(("claimed", "measured", "note"), said)


def _rows(content: RunReport) -> Iterator[str]:
    if content.row_flow:
        rows = [
            (
                markdown_text(step.step),
                count_text(step.rows_in),
                count_text(step.rows_out),
                count_text(step.emitted),
                count_text(step.changed),
                markdown_text(", ".join(f"{k} {v:,}" for k, v in step.ended.items()) or "none"),
            )
            for step in content.row_flow
        ]
        yield markdown_table(("step", "in", "out", "made", "changed", "dropped"), rows)
    for told in content.row_tables:
        numbers = [(markdown_text(name), number_text(n)) for name, n in told.numbers.items()]
        yield markdown_table((markdown_text(told.title), "number"), numbers)
    if content.collection:
        yield from _collection(content.collection)
    if content.licences:
        yield f"Licences of the rows: {markdown_text(content.licences)}."
    if content.warnings:
        yield "\n".join(f"- {markdown_text(line)}" for line in content.warnings)
    if content.parts:
        counts = [(markdown_text(name), count_text(num)) for name, num in content.parts.items()]
        yield markdown_table(("part", "examples"), counts)


def _collection(found: CollectionView) -> Iterator[str]:
    verdict = "It passed" if found.verdict.passed else "It did not pass"
    held = f"{found.songs:,} songs of {found.artists:,} artists"
    yield f"The plan {markdown_text(found.plan)}: {held}. {verdict} its rules."
    rows = [
        (
            markdown_text(name),
            count_text(one.offered),
            count_text(one.kept),
            f"{one.quality:.3f}",
            markdown_text(", ".join(f"{k} {v:,}" for k, v in one.reasons.items()) or "none"),
            markdown_text(", ".join(f"{k} {v:,}" for k, v in one.requests.items()) or "none"),
        )
        for name, one in found.sources.items()
    ]
    yield markdown_table(("source", "offered", "kept", "quality", "not kept", "requests"), rows)
    for title, counts in (("genre", found.genres), ("label", found.labels)):
        shares = [
            (markdown_text(name) or "not told", count_text(num), f"{num / found.songs:.3f}")
            for name, num in counts.items()
        ]
        yield markdown_table((title, "songs", "share"), shares)
    failed = [rule for rule in found.verdict.rules if not rule.passed]
    if failed:
        yield "\n".join(
            f"- {markdown_text(one.rule)} is {one.value:g}, at least {one.at_least:g} is asked for"
            for one in failed
        )


def _stages(content: RunReport) -> Iterator[str]:
    costs = stage_costs(content.stages)
    yield f"{duration_text(costs.total_seconds)} in all."
    rows = [
        (
            markdown_text(" ".join(filter(None, (one.name, one.instance)))),
            one.state,
            duration_text(one.seconds),
            memory_text(one.peak_bytes),
            markdown_text(one.artifact_id) or MISSING,
        )
        for one in content.stages
    ]
    yield markdown_table(("stage", "state", "time", "peak memory", "artifact"), rows)


def _facts(content: RunReport) -> Iterator[str]:
    yield markdown_table(("fact", "value"), [tuple(map(markdown_text, f)) for f in content.facts])


_SECTIONS: dict[str, Callable[[RunReport], Iterator[str]]] = {
    "gate": _gate,
    "metrics": _metrics,
    "scorecard": _scorecard,
    "slices": _slices,
    "calibration": _calibration,
    "errors": _errors,
    "copied": _copied,
    "costs": _costs,
    "compression": _compression,
    "diversity": _diversity,
    "rows": _rows,
    "stages": _stages,
    "facts": _facts,
}
"""Curves, single examples and the recipe stand on the page and in the JSON alone."""
