"""The charts of findings: a rule and its limit, candidates on a slice, a reliability plot."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from stillhouse.report.content import RuleRow
from stillhouse.report.findings import Reliability, ReliabilityBin, SliceCell, SliceTable
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

_RULE_HEIGHT = 34
_LANE = 13
_SIDE = 220
_MARGIN_LEFT, _MARGIN_BOTTOM, _MARGIN_TOP, _MARGIN_RIGHT = 44, 40, 10, 14
_COUNTS_HEIGHT = 34


def rule_plot(rule: RuleRow) -> Markup:
    """A rule's value with its interval, and a broken line where the limit is.

    Args:
        rule: nothing is drawn of what is not known or not finite.

    Returns:
        A chart of full width; empty without a value.
    """
    if rule.value is None or not math.isfinite(rule.value):
        return Markup()
    known = [v for v in (rule.value, rule.low, rule.high, rule.limit) if v is not None]
    scale = _roomy(known)
    middle = _RULE_HEIGHT / 2
    limit = percent(scale.share(rule.limit))
    parts = [line("axis-line", (0, middle), ("100%", middle))]
    parts += _whisker("rule", rule.low, rule.high, scale, middle)
    parts.append(line("limit", (limit, 2), (limit, _RULE_HEIGHT - 2)))
    parts.append(mark(0, scale.share(rule.value), middle))
    spoken = (
        f"{rule.text}: {number_text(rule.value)} "
        f"{interval_text(rule.value, rule.low, rule.high)}, limit {number_text(rule.limit)}"
    )
    return _row(spoken, _RULE_HEIGHT, parts)


def _roomy(values: Sequence[float]) -> Scale:
    """A scale with room at both ends, so that a limit at an end is seen as one."""
    low, high = min(values), max(values)
    room = (high - low) * 0.12 or abs(high) * 0.1 or 0.5
    return Scale(low - room, high + room, (low, high))


def slice_scale(table: SliceTable) -> Scale:
    """One scale for all slices of a table."""
    cells = [cell for row in table.rows for cell in row.cells.values()]
    ends = [v for one in cells for v in (one.value, one.low, one.high)]
    return round_scale((v for v in ends if v is not None), num_ticks=3)


def slice_plot(cells: Mapping[str, SliceCell], scale: Scale, slots: Mapping[str, int]) -> Markup:
    """One lane a candidate: its value on a slice with the interval.

    Args:
        cells: candidate to its value; those without one are left out.
        scale: of the whole table.
        slots: the candidates' colours and shapes.

    Returns:
        A chart of full width; hollow where there is not enough data.
    """
    known = {name: cell for name, cell in cells.items() if cell.value is not None}
    if not known:
        return Markup()
    height = _LANE * len(known) + 4
    parts = [
        line("grid", (percent(scale.share(t)), 0), (percent(scale.share(t)), height))
        for t in scale.ticks
    ]
    for lane, (name, cell) in enumerate(known.items()):
        middle = 2 + _LANE * (lane + 0.5)
        parts += _whisker(f"c{colour(slots[name])}", cell.low, cell.high, scale, middle)
        parts.append(mark(slots[name], scale.share(cell.value or 0.0), middle))
    spoken = "; ".join(
        f"{name} {number_text(cell.value)} "
        f"{interval_text(cell.value or 0.0, cell.low, cell.high)} of {count_text(cell.n)}"
        for name, cell in known.items()
    )
    return _row(spoken, height, parts)


def _whisker(
    kind: str, low: float | None, high: float | None, scale: Scale, middle: float
) -> Iterable[Markup]:
    if low is None or high is None or math.isnan(low + high):
        return
    ends = (percent(scale.share(low)), middle), (percent(scale.share(high)), middle)
    yield line(f"whisker {kind}", *ends)


def reliability_plot(found: Reliability, slot: int, chart_id: str) -> Markup:
    """How often answers were right over how sure the candidate was, beside the line of equals.

    Args:
        found: bins in order.
        slot: the candidate's colour and shape.
        chart_id: unique on the page; names the title and description.

    Returns:
        A square of fixed size, with the number of answers of each bin below it.
    """
    width = _MARGIN_LEFT + _SIDE + _MARGIN_RIGHT
    height = _MARGIN_TOP + _SIDE + _COUNTS_HEIGHT + _MARGIN_BOTTOM
    size: Attributes = {
        "class": f"reliability c{colour(slot)}",
        "width": width,
        "height": height,
        "viewBox": f"0 0 {width} {height}",
        "role": "img",
        "aria-labelledby": f"{chart_id}-title {chart_id}-desc",
    }
    told = "; ".join(
        f"said {number_text(b.confidence)}, right {number_text(b.accuracy)} of {count_text(b.n)}"
        for b in found.bins
    )
    return element(
        "svg",
        size,
        element(
            "title",
            {"id": f"{chart_id}-title"},
            f"Reliability of {found.candidate}, {found.title}",
        ),
        element("desc", {"id": f"{chart_id}-desc"}, told),
        *_frame(),
        *_counts(found),
        *(part for one in found.bins for part in _bin(one, slot)),
    )


def _x(share: float) -> float:
    return _MARGIN_LEFT + _SIDE * min(1.0, max(0.0, share))


def _y(share: float) -> float:
    return _MARGIN_TOP + _SIDE * (1.0 - min(1.0, max(0.0, share)))


def _frame() -> Iterable[Markup]:
    for tick in (0.0, 0.5, 1.0):
        yield line("grid", (_x(tick), _y(0)), (_x(tick), _y(1)))
        yield line("grid", (_x(0), _y(tick)), (_x(1), _y(tick)))
        yield _label(_x(0) - 6, _y(tick) + 4, "end", f"{tick:g}")
        below = _MARGIN_TOP + _SIDE + _COUNTS_HEIGHT + 15
        yield _label(_x(tick), below, "middle", f"{tick:g}")
    yield line("axis-line", (_x(0), _y(0)), (_x(1), _y(0)))
    yield line("equals", (_x(0), _y(0)), (_x(1), _y(1)))
    bottom = _MARGIN_TOP + _SIDE + _COUNTS_HEIGHT + 33
    yield _label(_x(0.5), bottom, "middle", "stated probability")
    turned: Attributes = {
        "text-anchor": "middle",
        "transform": f"translate(12 {_y(0.5):.0f}) rotate(-90)",
    }
    yield element("text", turned, "share that was right")


def _label(x: float, y: float, anchor: str, text: str) -> Markup:
    return element("text", {"x": x, "y": y, "text-anchor": anchor}, text)


def _counts(found: Reliability) -> Iterable[Markup]:
    most = max((one.n for one in found.bins), default=0)
    for one in found.bins:
        tall = (_COUNTS_HEIGHT - 8) * one.n / most if most else 0.0
        left, right = _x(one.low) + 1, _x(one.high) - 1
        box: Attributes = {
            "class": "bar count",
            "x": left,
            "y": _y(0) + 2,
            "width": max(right - left, 1.0),
            "height": tall,
        }
        yield element("rect", box)


def _bin(one: ReliabilityBin, slot: int) -> Iterable[Markup]:
    x = _x(one.confidence)
    yield line("whisker", (x, _y(one.accuracy_low)), (x, _y(one.accuracy_high)))
    place: Attributes = {"x": x, "y": _y(one.accuracy), "overflow": "visible"}
    yield element("svg", place, mark(slot, 0.0, 0.0))


def _row(spoken: str, height: int, children: Sequence[Markup]) -> Markup:
    size: Attributes = {"class": "row", "width": "100%", "height": height, "overflow": "visible"}
    return element("svg", {**size, "role": "img"}, element("title", {}, spoken.strip()), *children)
