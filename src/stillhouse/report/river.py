"""The rows' way through the steps as a river: a stretch a step, which the next one carries on.

Across, a stretch is as wide as its rows; what ends leaves to the right in its upper half, what is
made comes in below.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from stillhouse.report.content import FlowStep
from stillhouse.report.numbers import count_text
from stillhouse.report.svg import Attributes, element

_FULL, _DEPTH = 960.0, 100.0
_BEND = 30.0
_LEAST = 4.0
"""Of 1,000, so that one row of a million is seen."""

WORDS = {
    "kept": "goes on",
    "made": "made of another row",
    "dropped": "dropped",
    "merged": "merged into another",
    "waits": "waits for an answer",
}
"""Kind of a stretch's parts, which is its CSS class, to its words."""


def kinds_of(steps: Sequence[FlowStep]) -> list[tuple[str, str]]:
    """The kinds that any step has, with their words."""
    counts = [_counts(step) for step in steps]
    return [(kind, words) for kind, words in WORDS.items() if any(one[kind] for one in counts)]


def _counts(step: FlowStep) -> dict[str, int]:
    return {
        "kept": step.rows_out - step.emitted,
        "made": step.emitted,
        "dropped": sum(step.dropped.values()),
        "merged": step.merged,
        "waits": sum(step.deferred.values()),
    }


def stretch(step: FlowStep, widest: int) -> Markup:
    """What a step did to its rows, to stand between the stretches of the steps around it.

    Args:
        step: its rows.
        widest: the largest count of rows before or after any step.

    Returns:
        One picture without a width of its own, each reason a branch, with all counts as its title.
    """
    shapes = [*_shapes(step, _FULL / widest)] if widest else []
    size: Attributes = {"viewBox": "0 0 1000 100", "preserveAspectRatio": "none"}
    return element(
        "svg",
        {"class": "river", "role": "img", **size},
        element("title", {}, _spoken(step)),
        *(element("path", {"class": kind, "d": path}) for kind, path in shapes),
    )


def _shapes(step: FlowStep, scale: float) -> Iterator[tuple[str, str]]:
    """Kind and path of each part."""
    bank = (step.rows_out - step.emitted) * scale
    yield "kept", f"M0 0H{bank:.1f}V{_DEPTH:.0f}H0Z"
    if step.emitted:
        yield "made", _branch(bank, step.emitted * scale, _DEPTH, _DEPTH / 2 + 3)
    left = bank
    for kind, count in _endings(step):
        yield kind, _branch(left, count * scale, 0.0, _DEPTH / 2 - 3)
        left += count * scale


def _endings(step: FlowStep) -> Iterator[tuple[str, int]]:
    largest = sorted(step.dropped.values(), reverse=True)
    yield from (("dropped", count) for count in largest if count)
    if step.merged:
        yield "merged", step.merged
    yield from (("waits", count) for count in step.deferred.values() if count)


def _branch(left: float, width: float, base: float, tip: float) -> str:
    right = left + max(width, _LEAST)
    middle = base + (tip - base) * 0.7
    return (
        f"M{left:.1f} {base:.0f}H{right:.1f}Q{right:.1f} {middle:.0f} {right + _BEND:.1f} {tip:.0f}"
        f"Q{left:.1f} {tip:.0f} {left:.1f} {base:.0f}Z"
    )


def _spoken(step: FlowStep) -> str:
    counts = {WORDS[kind]: count for kind, count in _counts(step).items() if count}
    said = ", ".join(f"{count_text(count)} {words}" for words, count in counts.items())
    return f"{step.step}: {count_text(step.rows_in)} rows in; {said or 'none goes on'}"
