"""The charts of a run's page, as inline SVG that takes its colours from the style sheet.

Every figure also stands as text beside its mark; a chart only makes it quicker to see.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from markupsafe import Markup

from stillhouse.report.content import Curve, Estimate, FlowStep, MetricRow, StageRow
from stillhouse.report.numbers import count_text, interval_text, number_text
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

_PLOT_HEIGHT = 260
_ROW_HEIGHT = 24
_MAX_MARKS = 40
_MAX_BUCKETS = 300
_LABEL_GAP = 15
_MAX_LABELS = 8

Point = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Panel:
    """The curves that share a unit and hence a chart."""

    unit: str
    curves: tuple[Curve, ...]


def panels_by_unit(curves: Sequence[Curve]) -> tuple[Panel, ...]:
    """One panel per unit, in the order of first appearance; curves without points are left out."""
    drawn = [curve for curve in curves if curve.points]
    units = dict.fromkeys(curve.unit for curve in drawn)
    return tuple(Panel(unit, tuple(c for c in drawn if c.unit == unit)) for unit in units)


def name_slots(metrics: Sequence[MetricRow], curves: Sequence[Curve]) -> dict[str, int]:
    """A slot (colour and shape) for every candidate and curve, the same all over the page."""
    names = [name for metric in metrics for name in metric.values]
    return dict(zip(dict.fromkeys([*names, *(c.name for c in curves)]), count(), strict=False))


def finite_points(curve: Curve) -> list[Point]:
    """The points of a curve that can be drawn."""
    return [point for point in curve.points if math.isfinite(point[1])]


def curve_text(curve: Curve) -> str:
    """A curve in words: its first and last value and what could not be drawn."""
    points = finite_points(curve)
    lost = len(curve.points) - len(points)
    gap = f"; {count_text(lost)} not finite, left out" if lost else ""
    if not points:
        return f"no finite value among {count_text(len(curve.points))}"
    (first_step, first), (last_step, last) = points[0], points[-1]
    if len(points) == 1:
        return f"{number_text(first)} at step {count_text(first_step)}{gap}"
    return f"{number_text(first)} → {number_text(last)} at step {count_text(last_step)}{gap}"


def line_chart(panel: Panel, slots: Mapping[str, int], chart_id: str) -> Markup:
    """Curves over steps: training thin, validation with marks, the last values written beside.

    Args:
        panel: curves of one unit; NaN and infinities leave a gap.
        slots: a slot for each curve's name.
        chart_id: unique on the page; names the title and description.

    Returns:
        An SVG of full width and fixed height, whose labels reach into the padding around it.
    """
    points = [point for curve in panel.curves for point in finite_points(curve)]
    across = _step_scale([step for step, _ in points])
    up = round_scale((value for _, value in points), num_ticks=5)
    drawn = sorted(panel.curves, key=lambda curve: curve.kind == "validation")
    return element(
        "svg",
        {
            "class": "line-chart",
            "width": "100%",
            "height": _PLOT_HEIGHT,
            "overflow": "visible",
            "role": "img",
            "aria-labelledby": f"{chart_id}-title {chart_id}-desc",
        },
        element("title", {"id": f"{chart_id}-title"}, f"Loss over steps, {panel.unit}"),
        element("desc", {"id": f"{chart_id}-desc"}, _curves_text(panel.curves)),
        *_axes(across, up),
        *(_curve(curve, slots[curve.name], across, up) for curve in drawn),
        *_end_labels(drawn, slots, across, up),
    )


def key_mark(curve: Curve, slots: Mapping[str, int]) -> Markup:
    """How a curve looks, for the legend."""
    slot = slots[curve.name]
    stroke = line(f"curve {curve.kind} c{colour(slot)}", (0, 8), (26, 8))
    marks = [mark(slot, 0.5, 8)] if curve.kind == "validation" else []
    size: Attributes = {"class": "key", "width": 26, "height": 16, "aria-hidden": "true"}
    return element("svg", size, stroke, *marks)


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
    """Why rows were dropped and how many, most first."""
    return sorted(step.dropped.items(), key=lambda item: (-item[1], item[0]))


def flow_bar(step: FlowStep, widest: int) -> Markup:
    """What a step kept, full, then what it dropped, pale, out of the widest step's rows.

    Args:
        step: its rows.
        widest: the largest count of rows before or after any step.

    Returns:
        One bar of the funnel.
    """
    num_dropped = sum(step.dropped.values())
    kept, dropped = (n / widest if widest else 0.0 for n in (step.rows_out, num_dropped))
    spoken = f"{step.step}: {count_text(step.rows_out)} kept, {count_text(num_dropped)} dropped"
    bars = [_bar("kept", 0, kept, 18), _bar("dropped", kept, min(dropped, 1 - kept), 18)]
    return _row(spoken, 18, bars)


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
    """A bar from nothing to `value`, full width at `largest`; empty when there is no value.

    Args:
        value: what the bar shows; None, NaN and infinities draw nothing.
        largest: the value of a full bar.
        spoken: what it says to those who do not see it.
        kind: a CSS class, such as `time` or `memory`.

    Returns:
        One thin bar.
    """
    known = value is not None and math.isfinite(value) and largest > 0
    share = min(1.0, max(0.0, (value or 0.0) / largest)) if known else 0.0
    return _row(spoken, 8, [_bar("track", 0, 1, 8), _bar(kind, 0, share, 8)])


def parts_bar(parts: Mapping[str, int]) -> Markup:
    """One bar cut into the parts of the examples, in order."""
    total = sum(parts.values()) or 1
    bars: list[Markup] = []
    done = 0
    for slot, num in enumerate(parts.values()):
        bars.append(_bar(f"part c{colour(slot)}", done / total, num / total, 22))
        done += num
    spoken = ", ".join(f"{name} {count_text(num)}" for name, num in parts.items())
    return _row(spoken, 22, bars)


def _row(spoken: str, height: int, children: Sequence[Markup]) -> Markup:
    size: Attributes = {"class": "row", "width": "100%", "height": height, "overflow": "visible"}
    return element("svg", {**size, "role": "img"}, element("title", {}, spoken), *children)


def _bar(kind: str, start: float, width: float, height: int) -> Markup:
    place: Attributes = {
        "x": percent(start),
        "y": 0,
        "width": percent(max(width, 0.0)),
        "height": height,
    }
    return element("rect", {"class": f"bar {kind}", "rx": 2, **place})


def _step_scale(steps: Sequence[int]) -> Scale:
    low, high = (min(steps), max(steps)) if steps else (0, 1)
    if low == high:
        return Scale(low - 1, high + 1, (float(low),))
    inner = round_scale([low, high], num_ticks=4).ticks
    whole = tuple(tick for tick in inner if low <= tick <= high and tick == int(tick))
    return Scale(low, high, whole if len(whole) > 1 else (float(low), float(high)))


def _axes(across: Scale, up: Scale) -> list[Markup]:
    bottom = _PLOT_HEIGHT
    parts: list[Markup] = []
    for tick in up.ticks:
        y = _height(up, tick)
        parts.append(line("grid", (0, y), ("100%", y)))
        label: Attributes = {"class": "tick", "x": -8, "y": y + 4, "text-anchor": "end"}
        parts.append(element("text", label, up.tick_text(tick)))
    for tick in across.ticks:
        x = percent(across.share(tick))
        parts.append(line("notch", (x, bottom), (x, bottom + 5)))
        label: Attributes = {"class": "tick", "x": x, "y": bottom + 19, "text-anchor": "middle"}
        parts.append(element("text", label, across.tick_text(tick)))
    name: Attributes = {"class": "tick", "x": "50%", "y": bottom + 37, "text-anchor": "middle"}
    return [*parts, line("axis-line", (0, bottom), ("100%", bottom)), element("text", name, "step")]


def _curve(curve: Curve, slot: int, across: Scale, up: Scale) -> Markup:
    runs = _runs(curve)
    paths = " ".join(_path(run, across, up) for run in runs if len(run) > 1)
    stroke = element("path", {"class": f"curve {curve.kind} c{colour(slot)}", "d": paths})
    stretched: Attributes = {
        "viewBox": "0 0 1000 1000",
        "preserveAspectRatio": "none",
        "overflow": "visible",
    }
    parts = [element("svg", {"width": "100%", "height": "100%", **stretched}, stroke)]
    points = finite_points(curve)
    every = max(1, math.ceil(len(points) / _MAX_MARKS))
    alone = [run[0] for run in runs if len(run) == 1]
    shown = [*points[::every], points[-1]] if curve.kind == "validation" and points else alone
    parts += [mark(slot, across.share(step), _height(up, value)) for step, value in shown]
    return element("g", {}, *parts)


def _runs(curve: Curve) -> list[list[Point]]:
    """The curve cut where it is not finite."""
    runs: list[list[Point]] = [[]]
    for point in curve.points:
        if math.isfinite(point[1]):
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [_thinned(run) for run in runs if run]


def _thinned(points: list[Point]) -> list[Point]:
    """At most two points a bucket, its lowest and highest, so that no spike is lost."""
    size = math.ceil(len(points) / _MAX_BUCKETS)
    if size <= 2:
        return points
    buckets = [points[start : start + size] for start in range(0, len(points), size)]
    kept = {points[0], points[-1]}
    for bucket in buckets:
        kept |= {min(bucket, key=lambda p: p[1]), max(bucket, key=lambda p: p[1])}
    return sorted(kept)


def _path(points: Sequence[Point], across: Scale, up: Scale) -> str:
    places = [f"{across.share(x) * 1000:.1f} {(1 - up.share(y)) * 1000:.1f}" for x, y in points]
    return "M" + "L".join(places)


def _height(up: Scale, value: float) -> float:
    return (1 - up.share(value)) * _PLOT_HEIGHT


def _curves_text(curves: Sequence[Curve]) -> str:
    return ". ".join(f"{curve.name}, {curve.kind}: {curve_text(curve)}" for curve in curves)


def _end_labels(
    curves: Sequence[Curve], slots: Mapping[str, int], across: Scale, up: Scale
) -> list[Markup]:
    """The last value of each curve, pushed apart where two would overlap."""
    ends = [(curve, finite_points(curve)[-1]) for curve in curves if finite_points(curve)]
    measured = {curve.name for curve, _ in ends if curve.kind == "validation"}
    chosen = [e for e in ends if e[0].kind == "validation" or e[0].name not in measured]
    chosen = sorted(chosen[-_MAX_LABELS:], key=lambda end: end[1][1])
    lowest_free = math.inf
    labels = []
    for curve, (step, value) in chosen:
        y = min(_height(up, value) + 4, lowest_free)
        lowest_free = y - _LABEL_GAP
        place: Attributes = {"x": percent(across.share(step)), "y": y, "dx": 10}
        kind: Attributes = {"class": f"end-label c{colour(slots[curve.name])}"}
        labels.append(element("text", {**kind, **place}, number_text(value)))
    return labels
