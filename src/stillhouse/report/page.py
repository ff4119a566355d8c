"""The run's page: content in, one HTML file out that asks nothing of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stillhouse.core.files import write_atomic
from stillhouse.report import charts, curves, numbers
from stillhouse.report.content import MetricRow, RunReport

_HERE = Path(__file__).parent
_NUM_OPEN_METRICS = 8
_NUM_KEYS = 4
_IN_SCRIPT = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026",
                            "\u2028": r"\u2028", "\u2029": r"\u2029"})  # fmt: skip
# A model may answer with control characters; a reader should see them.
_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {127: 0x2421}


@dataclass(frozen=True, slots=True)
class Badge:
    """How a run's state looks: its words, the tone of its colour, the path of its sign."""

    words: str
    tone: str
    sign: str


_BADGES = {
    "passed": Badge("Passed", "good", "M4 8.5l3 3l5.5-6.5"),
    "refused": Badge("Refused by the gate", "bad", "M4.5 4.5l7 7M11.5 4.5l-7 7"),
    "failed": Badge("Failed", "bad", "M8 3.5v6M8 12v.5"),
    "interrupted": Badge("Interrupted", "unsure", "M6 4.5v7M10 4.5v7"),
    "running": Badge("Still running", "calm", "M8 4v4.5l3 1.5"),
}
_FINISHED = Badge("Finished, no gate", "calm", "M4 8.5l3 3l5.5-6.5")
TONES = {"pass": "good", "fail": "bad", "not enough data": "unsure",
         "done": "good", "reused": "calm", "failed": "bad", "skipped": "unsure"}  # fmt: skip


def render_report(content: RunReport) -> str:
    """The whole page as HTML; equal content gives equal text.

    Args:
        content: what to show; text in it is shown as text, whatever it holds.

    Returns:
        A document with its styles, charts and, in `#report-data`, the content as JSON.
    """
    metrics = [metric for metric in content.metrics if metric.values]
    html = _environment().get_template("page.html.jinja").render(
        report=content,
        badge=_badge(content),
        metrics=metrics,
        key_metric=key_metric(metrics),
        num_keys=_NUM_KEYS,
        num_open=_NUM_OPEN_METRICS,
        panels=curves.panels_by_unit(content.curves),
        slots=charts.name_slots(metrics, content.curves),
        style=Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        data=Markup(content.model_dump_json(indent=1).translate(_IN_SCRIPT)),
    )  # fmt: skip
    return html


def write_report(content: RunReport, path: Path) -> None:
    """Write the page to `path`, whole or not at all.

    Args:
        content: what to show.
        path: the HTML file; its folder exists.
    """
    write_atomic(path, render_report(content).encode())


def key_metric(metrics: Sequence[MetricRow]) -> MetricRow | None:
    """The metric whose numbers stand at the top: the first with the most candidates."""
    return max(metrics, key=lambda metric: len(metric.values), default=None)


def visible(text: str) -> str:
    """Text with a sign in place of each control character."""
    return text.translate(_CONTROLS)


def _badge(content: RunReport) -> Badge:
    if content.run_state == "passed" and content.gate is None:
        return _FINISHED
    return _BADGES[content.run_state]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.globals.update(charts=charts, curves=curves, tones=TONES)
    environment.filters.update(
        number=numbers.number_text,
        limit=numbers.limit_text,
        unit=numbers.unit_text,
        count=numbers.count_text,
        duration=numbers.duration_text,
        memory=numbers.memory_text,
        exact=numbers.exact_text,
    )
    environment.filters["interval"] = lambda e: numbers.interval_text(e.value, e.low, e.high)
    return environment
