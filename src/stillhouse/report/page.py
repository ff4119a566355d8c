"""The run's page: content in, one HTML file out that asks nothing of the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stillhouse.core.files import write_atomic
from stillhouse.report import charts, curves, numbers, plots, river
from stillhouse.report.content import MetricRow, RunReport
from stillhouse.report.findings import SliceTable

_HERE = Path(__file__).parent
_NUM_OPEN_METRICS = 8
_NUM_KEYS = 4
_NUM_GLANCE = 4
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
_UNHEEDED = Badge("Finished, the gate said no", "bad", "M4.5 4.5l7 7M11.5 4.5l-7 7")
_UNDECIDED = Badge("Finished, not enough data to pass", "unsure", "M8 3.5v6M8 12v.5")
TONES = {"pass": "good", "fail": "bad", "not enough data": "unsure", "not asked": "calm",
         "done": "good", "reused": "calm", "failed": "bad", "skipped": "unsure"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the page: its template and anchor, its heading, and whether it has data."""

    anchor: str
    words: str
    has_data: Callable[[RunReport], bool]


SECTIONS = (
    Section("gate", "Gate", lambda r: r.gate is not None),
    Section("metrics", "Candidates", lambda r: bool(_compared(r))),
    Section("scorecard", "Scorecard", lambda r: r.scorecard is not None),
    Section("slices", "Slices", lambda r: bool(r.slices)),
    Section("calibration", "Calibration", lambda r: bool(r.calibration)),
    Section("errors", "Errors", lambda r: r.errors is not None),
    Section("copied", "Learned by heart", lambda r: r.copied is not None),
    Section("costs", "Costs", lambda r: r.costs is not None),
    Section("compression", "Size and speed", lambda r: r.compression is not None),
    Section("diversity", "Diversity", lambda r: bool(_of_group(r, "diversity"))),
    Section("losses", "Losses", lambda r: any(curve.points for curve in r.curves)),
    Section("rows", "Rows", lambda r: bool(r.row_flow or r.parts)),
    Section("stages", "Stages", lambda r: bool(r.stages)),
    Section("examples", "Examples", lambda r: bool(r.examples)),
    Section("facts", "Facts", lambda r: bool(r.facts)),
    Section("recipe", "Recipe", lambda r: bool(r.recipe_yaml)),
)
"""In the order of the page; what is seen first is what came out."""


def render_report(content: RunReport) -> str:
    """The whole page as HTML; equal content gives equal text.

    Args:
        content: what to show; text in it is shown as text, whatever it holds.

    Returns:
        A document with its styles, charts and, in `#report-data`, the content as JSON.
    """
    metrics = _compared(content)
    html = _environment().get_template("page.html.jinja").render(
        report=content,
        badge=badge_of(content),
        contents=contents_of(content),
        metrics=metrics,
        glance=glance_of(content),
        diversity=_of_group(content, "diversity"),
        sizes=_of_group(content, "size"),
        slice_groups=slice_groups(content),
        differences_words=differences_words(content),
        key_metric=key_metric(metrics),
        num_keys=_NUM_KEYS,
        num_open=_NUM_OPEN_METRICS,
        panels=curves.panels_by_unit(content.curves),
        slots=_slots(content),
        style=Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        data=Markup(content.model_dump_json(indent=1).translate(_IN_SCRIPT)),
    )  # fmt: skip
    return html


def contents_of(content: RunReport) -> list[tuple[str, str]]:
    """Anchor and heading of each section with data; of a run that did not end, stages first."""
    found = [(one.anchor, one.words) for one in SECTIONS if one.has_data(content)]
    if content.run_state in ("passed", "refused"):
        return found
    return sorted(found, key=lambda one: one[0] != "stages")


def glance_of(content: RunReport) -> list[MetricRow]:
    """The metrics of the table that shows all candidates at a glance."""
    if not content.candidates:
        return []
    return [one for one in _compared(content) if "." not in one.name][:_NUM_GLANCE]


def slice_groups(content: RunReport) -> list[tuple[str, list[SliceTable]]]:
    """Kind of slice to its tables, the metric that counts most first."""
    kinds = dict.fromkeys(table.kind for table in content.slices)
    return [(kind, [one for one in content.slices if one.kind == kind]) for kind in kinds]


def differences_words(content: RunReport) -> str:
    """How the p values of the page were found; empty where there is none."""
    gaps = [gap for metric in content.metrics for gap in metric.differences.values()]
    tests = dict.fromkeys(gap.test for gap in gaps if gap.p_corrected is not None)
    return f"; p values by {' and '.join(tests)}, corrected by Holm's method" if tests else ""


def _compared(content: RunReport) -> list[MetricRow]:
    return [metric for metric in content.metrics if metric.values and not metric.group]


def _of_group(content: RunReport, group: str) -> list[MetricRow]:
    return [metric for metric in content.metrics if metric.values and metric.group == group]


def _slots(content: RunReport) -> dict[str, int]:
    others = [row.name for row in content.candidates]
    others += [name for table in content.slices for row in table.rows for name in row.cells]
    others += [found.candidate for found in content.calibration]
    return charts.name_slots(content.metrics, content.curves, others)


def write_report(content: RunReport, path: Path) -> None:
    """Write the page to `path`, whole or not at all.

    Args:
        content: what to show.
        path: the HTML file; its folder exists.
    """
    write_atomic(path, render_report(content).encode())


def key_metric(metrics: Sequence[MetricRow]) -> MetricRow | None:
    """The metric whose numbers stand at the top.

    Args:
        metrics: the one that counts most first.

    Returns:
        Of those with the most candidates the first that tells two of them apart, else the first.
    """
    most = max((len(metric.values) for metric in metrics), default=0)
    widest = [metric for metric in metrics if len(metric.values) == most]
    telling = [one for one in widest if len({e.value for e in one.values.values()}) > 1]
    return next(iter([*telling, *widest]), None)


def visible(text: str) -> str:
    """Text with a sign in place of each control character."""
    return text.translate(_CONTROLS)


def badge_of(content: RunReport) -> Badge:
    """How the run's state looks; a run that ends well may still have a gate that said no."""
    gates = [gate for gate in (content.gate, *content.other_gates) if gate]
    if content.run_state != "passed":
        return _BADGES[content.run_state]
    if not gates:
        return _FINISHED
    if all(gate.passed for gate in gates):
        return _BADGES["passed"]
    return _UNDECIDED if any(gate.passed is None for gate in gates) else _UNHEEDED


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
    environment.globals.update(
        charts=charts,
        curves=curves,
        plots=plots,
        river=river,
        tones=TONES,
        missing=numbers.MISSING,
    )
    environment.filters.update(
        number=numbers.number_text,
        limit=numbers.limit_text,
        unit=numbers.unit_text,
        count=numbers.count_text,
        duration=numbers.duration_text,
        memory=numbers.memory_text,
        exact=numbers.exact_text,
        latency=numbers.latency_text,
        size=numbers.size_text,
        usd=numbers.usd_text,
        p=numbers.p_text,
        signed=numbers.signed_text,
        score=numbers.score_text,
    )
    environment.filters["interval"] = lambda e: numbers.interval_text(e.value, e.low, e.high)
    return environment
