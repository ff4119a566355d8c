"""The charts of a run's page, as inline SVG that takes its colours from the style sheet.

Every figure also stands as text beside its mark; a chart only makes it quicker to see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from markupsafe import Markup

from stillhouse.report.content import Curve, FlowStep, MetricRow, StageRow
from stillhouse.report.findings import CompressionView, SliceTable
from stillhouse.report.numbers import interval_text, number_text
from stillhouse.report.record import Estimate
from stillhouse.report.svg import (
    Attributes,
    Scale,
    colour,
    element,
    line,
    mark,
    percent,
    round_scale,
)

_ROW_HEIGHT = 24


def name_slots(
    metrics: Sequence[MetricRow], curves: Sequence[Curve], others: Sequence[str] = ()
) -> dict[str, int]:
    """A slot (colour and shape) for every candidate and curve, the same all over the page."""
    names = [name for metric in metrics for name in metric.values]
    names += [curve.name for curve in curves] + list(others)
    return dict(zip(dict.fromkeys(names), count(), strict=False))


def metric_scale(metric: MetricRow) -> Scale:
    """One scale for all candidates of a metric, wide enough for their intervals."""
    ends = [(e.value, e.low, e.high) for e in metric.values.values()]
    return round_scale((v for end in ends for v in end if v is not None), num_ticks=3)


def interval_plot(name: str, estimate: Estimate, scale: Scale, slot: int) -> Markup:
    """A dot with its interval on the metric's scale, for one candidate.

    Args:
        name: the candidate.
        estimate: nothing is drawn of what is not finite.
        scale: the metric's, see `metric_scale`.
        slot: the candidate's colour and shape.

    Returns:
        One row of the plot; the rows of a metric stand below one another.
    """
    middle = _ROW_HEIGHT / 2
    value, low, high = estimate.value, estimate.low, estimate.high
    places = [percent(scale.share(tick)) for tick in scale.ticks]
    parts = [line("grid", (x, 0), (x, _ROW_HEIGHT)) for x in places]
    if low is not None and high is not None and not math.isnan(low + high):
        ends = (percent(scale.share(low)), middle), (percent(scale.share(high)), middle)
        parts.append(line(f"whisker c{colour(slot)}", *ends))
    if math.isfinite(value):
        parts.append(mark(slot, scale.share(value), middle))
    spoken = f"{name}: {number_text(value)} {interval_text(value, low, high)}".strip()
    return _row(spoken, _ROW_HEIGHT, parts)


def scale_axis(scale: Scale) -> Markup:
    """The tick labels below the rows of an interval plot, at both ends."""
    ends = ((scale.ticks[0], "start"), (scale.ticks[-1], "end"))
    labels = [
        element("text", {"x": percent(scale.share(tick)), "y": 12, "text-anchor": anchor}, text)
        for tick, anchor in ends
        for text in [scale.tick_text(tick)]
    ]
    size: Attributes = {"class": "axis", "width": "100%", "height": 16, "aria-hidden": "true"}
    return element("svg", size, *labels)


def widest_count(steps: Sequence[FlowStep]) -> int:
    """The largest count of rows before or after any step."""
    return max((max(step.rows_in, step.rows_out) for step in steps), default=0)


def drop_reasons(step: FlowStep) -> list[tuple[str, int]]:
    """Why rows do not go on and how many, most first."""
    return sorted(step.ended.items(), key=lambda item: (-item[1], item[0]))


@dataclass(frozen=True, slots=True)
class StageCosts:
    """What all stages cost together, and the most any of them did."""

    total_seconds: float
    longest_seconds: float
    peak_bytes: int


def stage_costs(stages: Sequence[StageRow]) -> StageCosts:
    """The sum of what ran, and the longest and the largest; 0 where nothing is known."""
    seconds = [s.seconds for s in stages if s.seconds is not None and math.isfinite(s.seconds)]
    peaks = [s.peak_bytes for s in stages if s.peak_bytes is not None]
    return StageCosts(math.fsum(seconds), max(seconds, default=0.0), max(peaks, default=0))


def share_bar(value: float | None, largest: float, spoken: str, kind: str) -> Markup:
    """A bar from nothing to `value`, full width at `largest`.

    Args:
        value: what the bar shows.
        largest: the value of a full bar.
        spoken: what it says to those who do not see it.
        kind: a CSS class, such as `time` or `memory`.

    Returns:
        One thin bar; nothing for None, NaN and infinities.
    """
    if value is None or not math.isfinite(value) or largest <= 0:
        return Markup()
    share = min(1.0, max(0.0, value / largest))
    return _row(spoken, 8, [_bar("track", 0, 1, 8), _bar(kind, 0, share, 8)])


def candidate_mark(slot: int) -> Markup:
    """A candidate's colour and shape, to stand beside its name."""
    size: Attributes = {"width": 14, "height": 12, "overflow": "visible"}
    return element("svg", size, mark(slot, 0.5, 6))


def slice_names(table: SliceTable) -> list[str]:
    """The candidates of a table of slices, in order."""
    return list(dict.fromkeys(name for row in table.rows for name in row.cells))


def dtypes_of(view: CompressionView) -> list[str]:
    """The dtypes in which any candidate's size is known, in order."""
    return list(dict.fromkeys(name for row in view.rows for name in row.bytes_by_dtype))


def _row(spoken: str, height: int, children: Sequence[Markup]) -> Markup:
    size: Attributes = {"class": "row", "width": "100%", "height": height, "overflow": "visible"}
    return element("svg", {**size, "role": "img"}, element("title", {}, spoken), *children)


def _bar(kind: str, start: float, width: float, height: int) -> Markup:
    across: Attributes = {"x": percent(start), "width": percent(max(width, 0.0))}
    return element("rect", {"class": f"bar {kind}", "rx": 2, "y": 0, "height": height, **across})
