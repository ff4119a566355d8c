"""Curves over steps: one chart per thing and unit, the last values written beside the lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stillhouse.report.content import Curve
from stillhouse.report.numbers import count_text, number_text
from stillhouse.report.svg import (
    Attributes,
    Scale,
    colour,
    element,
    line,
    loss_scale,
    mark,
    percent,
    round_scale,
)

_PLOT_HEIGHT = 260
_MAX_MARKS = 40
_MAX_BUCKETS = 300
_LABEL_GAP = 15
_LONG_LABEL = 6
_MAX_LABELS = 8
_STRETCHED: Attributes = {
    "width": "100%",
    "height": "100%",
    "viewBox": "0 0 1000 1000",
    "preserveAspectRatio": "none",
    "overflow": "visible",
}

Point = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Panel:
    """The curves of one thing in one unit, which share a chart."""

    of: str
    unit: str
    curves: tuple[Curve, ...]

    @property
    def title(self) -> str:
        """What is drawn, with its unit."""
        return f"{self.of}, {self.unit}" if self.unit else self.of


def panels_by_unit(curves: Sequence[Curve]) -> tuple[Panel, ...]:
    """One panel per thing and unit, as they first appear; curves without points are left out."""
    drawn = [curve for curve in curves if curve.points]
    kinds = dict.fromkeys((curve.of, curve.unit) for curve in drawn)
    return tuple(Panel(*kind, tuple(c for c in drawn if (c.of, c.unit) == kind)) for kind in kinds)


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


def told_points(curve: Curve) -> list[Point]:
    """The points that the table behind a chart shows: all of a short curve, some of a long one."""
    every = max(1, math.ceil(len(curve.points) / _MAX_MARKS))
    return list(dict.fromkeys([*curve.points[::every], *curve.points[-1:]]))


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
    up = loss_scale((value for _, value in points), num_ticks=5)
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
        element("title", {"id": f"{chart_id}-title"}, f"Over steps: {panel.title}"),
        element("desc", {"id": f"{chart_id}-desc"}, _curves_text(panel.curves)),
        *_axes(across, up),
        *(_curve(curve, slots[curve.name], across, up) for curve in drawn),
        *_end_labels(drawn, across, up),
    )


def key_mark(curve: Curve, slots: Mapping[str, int]) -> Markup:
    """How a curve looks, for the legend."""
    slot = slots[curve.name]
    stroke = line(f"curve {curve.kind} c{colour(slot)}", (0, 8.5), (26, 8.5))
    marks = [mark(slot, 0.5, 8.5)] if curve.kind == "validation" else []
    size: Attributes = {"class": "key", "width": 26, "height": 16, "aria-hidden": "true"}
    return element("svg", size, stroke, *marks)


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
        parts += [line("grid", (0, y), ("100%", y)), _tick(-8, y + 4, "end", up.tick_text(tick))]
    for tick in across.ticks:
        x = percent(across.share(tick))
        parts.append(line("notch", (x, bottom), (x, bottom + 5)))
        parts.append(_tick(x, bottom + 19, "middle", across.tick_text(tick)))
    axis = line("axis-line", (0, bottom), ("100%", bottom))
    return [*parts, axis, _tick("50%", bottom + 37, "middle", "step")]


def _tick(x: str | float, y: float, anchor: str, text: str) -> Markup:
    return element("text", {"x": x, "y": y, "text-anchor": anchor}, text)


def _curve(curve: Curve, slot: int, across: Scale, up: Scale) -> Markup:
    runs = _runs(curve)
    paths = " ".join(_path(run, across, up) for run in runs if len(run) > 1)
    stroke = element("path", {"class": f"curve {curve.kind} c{colour(slot)}", "d": paths})
    parts = [element("svg", _STRETCHED, stroke)]
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


def _end_labels(curves: Sequence[Curve], across: Scale, up: Scale) -> list[Markup]:
    """The last value of each curve, pushed apart where two would overlap."""
    ends = [(curve, finite_points(curve)[-1]) for curve in curves if finite_points(curve)]
    measured = {curve.name for curve, _ in ends if curve.kind == "validation"}
    chosen = [e for e in ends if e[0].kind == "validation" or e[0].name not in measured]
    chosen = sorted(chosen[-_MAX_LABELS:], key=lambda end: end[1][1])
    lowest_free = math.inf
    labels = []
    for _, (step, value) in chosen:
        y = min(_height(up, value) + 4, lowest_free)
        lowest_free = y - _LABEL_GAP
        labels.append(_end_label(across.share(step), y, number_text(value)))
    return labels


def _end_label(x: float, y: float, text: str) -> Markup:
    """Behind the end of the curve, or above it where a long number would leave the frame."""
    is_tight = x > 0.5 and len(text) > _LONG_LABEL
    aside: Attributes = {"dx": 4, "dy": -12, "text-anchor": "end"} if is_tight else {"dx": 10}
    return element("text", {"class": "end-label", "x": percent(x), "y": y, **aside}, text)
