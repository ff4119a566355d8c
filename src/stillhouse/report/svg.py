"""What charts are drawn with: escaped elements, a scale with round ticks, marks by number.

Across, positions are shares of the width, so a chart fits any screen without its text shrinking.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from markupsafe import Markup, escape

Attributes = Mapping[str, str | float]
NUM_COLOURS = 6
_LARGEST = 1e300
_MARKS = (
    "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z",
    "M-4 -4h8v8h-8z",
    "M0 -5.5L5.5 0L0 5.5L-5.5 0z",
    "M0 -5.2L5 4H-5z",
    "M0 5.2L5 -4H-5z",
)


_WIDE = 30.0
"""assumption: below this factor a plain axis still shows the end of a curve."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A range of values with ticks at round numbers inside it."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high end, never outside."""
        place = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        return min(1.0, max(0.0, place))

    def tick_text(self, tick: float) -> str:
        """A tick's label, with as many decimals as the step between two ticks needs."""
        step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else abs(tick) or 1.0
        if tick == 0:
            return "0"
        if max(abs(self.low), abs(self.high)) >= 1e6 or step < 1e-4:
            return f"{tick:.3g}".replace("e+", "e").replace("-", "\N{MINUS SIGN}")
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        return f"{tick:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def round_scale(values: Iterable[float], *, num_ticks: int = 4) -> Scale:
    """A scale around the finite ones among `values`, its ends on ticks.

    Args:
        values: what must fit; NaN and infinities are passed over, none at all gives 0 to 1.
        num_ticks: about how many steps between two ends.

    Returns:
        A scale of more than no width, also for one value or equal values.
    """
    finite = [max(-_LARGEST, min(_LARGEST, v)) for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    size = max(abs(low), abs(high))
    if high - low <= size * 1e-9 or high - low < 1e-250:
        margin = size * 0.1 if size > 1e-250 else 0.5
        low, high = low - margin, high + margin
    step = _round_step((high - low) / num_ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(index * step for index in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], ticks)


@dataclass(frozen=True, slots=True)
class DecadeScale(Scale):
    """A range of positive values in which every factor of ten is equally tall."""

    def share(self, value: float) -> float:
        """Where a positive value lies, 0 at the low end and 1 at the high end, never outside."""
        low, high = math.log10(self.low), math.log10(self.high)
        place = (math.log10(max(value, self.low)) - low) / (high - low)
        return min(1.0, max(0.0, place))

    def tick_text(self, tick: float) -> str:
        """A tick's label: a power of ten."""
        return f"{tick:g}" if 1e-4 <= tick < 1e5 else f"{tick:.0e}"


def loss_scale(values: Iterable[float], *, num_ticks: int = 5) -> Scale:
    """A scale for losses: in decades where they span more than `_WIDE`, else plain.

    Args:
        values: what must fit; NaN and infinities are passed over.
        num_ticks: about how many steps between two ends of a plain scale.

    Returns:
        Decades when every value is positive and the largest is far above the smallest; a loss
        that falls from 6 to 0.01 would be a flat line otherwise.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite or min(finite) <= 0 or max(finite) / min(finite) < _WIDE:
        return round_scale(finite, num_ticks=num_ticks)
    first, last = math.floor(math.log10(min(finite))), math.ceil(math.log10(max(finite)))
    stride = -(-(last - first) // 8)
    ticks = tuple(10.0**power for power in range(first, last + 1, stride))
    return DecadeScale(10.0**first, 10.0**last, ticks)


def element(name: str, attributes: Attributes, *children: str) -> Markup:
    """One element; attribute values and plain-text children are escaped."""
    written = Markup("").join(
        Markup(' {}="{}"').format(key, _attribute(value)) for key, value in attributes.items()
    )
    inside = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, inside)


def mark(slot: int, x: float, y: float) -> Markup:
    """A candidate's mark at share `x` of the width and pixel `y`: colour and shape by its slot."""
    shape = element("path", {"d": _MARKS[slot % len(_MARKS)], "class": f"mark c{colour(slot)}"})
    return element("svg", {"x": percent(x), "y": y, "overflow": "visible"}, shape)


def line(kind: str, start: tuple[str | float, float], end: tuple[str | float, float]) -> Markup:
    """A straight line of a CSS class between two points."""
    ends = {"x1": start[0], "y1": start[1], "x2": end[0], "y2": end[1]}
    return element("line", {"class": kind, **ends})


def colour(slot: int) -> int:
    """Which of the palette's colours a slot has; shapes repeat at another period than colours."""
    return slot % NUM_COLOURS


def percent(share: float) -> str:
    """A share as SVG wants it."""
    return f"{_attribute(share * 100)}%"


def _round_step(raw: float) -> float:
    power = float(10.0 ** math.floor(math.log10(raw)))
    return next((f * power for f in (1, 2, 5) if f * power >= raw * 0.999), 10 * power)


def _attribute(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.2f}".rstrip("0").rstrip(".")
