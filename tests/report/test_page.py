"""The page shows all of its content, as text, and asks nothing of the network."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.report.samples import HOSTILE, extreme_report, rich_report, small_report

from stillhouse.report import page as page_module
from stillhouse.report.content import ExampleRow, MetricRow, RunReport
from stillhouse.report.numbers import exact_text
from stillhouse.report.page import key_metric, render_report, write_report
from stillhouse.report.record import Estimate

LOADING = ("src", "srcset", "href", "xlink:href", "action", "poster", "data", "background")
SECTIONS = tuple(section.anchor for section in page_module.SECTIONS)


class _Seen(HTMLParser):
    """Every tag with its attributes, and the text of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def with_attribute(self, name: str) -> list[dict[str, str]]:
        return [attributes for _, attributes in self.tags if name in attributes]


def _data(html: str) -> str:
    found = re.search(
        r'<script type="application/json" id="report-data">(.*?)</script>', html, re.S
    )
    assert found is not None
    return found.group(1)


def _sections(html: str) -> list[str]:
    return [
        a["aria-labelledby"] for t, a in _Seen(html).tags if t == "section" and "class" not in a
    ]


REPORTS = {"small": small_report, "rich": rich_report, "extreme": extreme_report}


@pytest.fixture(scope="module", params=REPORTS)
def drawn(request) -> tuple[RunReport, str]:
    content = REPORTS[request.param]()
    return content, render_report(content)


def test_the_embedded_data_is_the_content(drawn):
    content, html = drawn

    again = RunReport.model_validate_json(_data(html))

    assert again.model_dump_json() == content.model_dump_json()
    json.loads(_data(html), parse_constant=pytest.fail)


def test_every_number_of_a_metric_stands_on_the_page_with_full_precision(drawn):
    content, html = drawn

    figures = _Seen(html).with_attribute("data-metric")

    shown = {
        (f["data-metric"], f["data-candidate"], f["data-value"], f["data-low"], f["data-high"],
         f["data-n"])
        for f in figures
    }  # fmt: skip
    assert shown == {
        (metric.name, name, exact_text(e.value), exact_text(e.low), exact_text(e.high), str(e.n))
        for metric in content.metrics
        for name, e in metric.values.items()
    }


def test_nothing_is_loaded_from_anywhere(drawn):
    _, html = drawn
    seen = _Seen(html)

    addresses = [a[name] for _, a in seen.tags for name in LOADING if name in a]

    assert {address for address in addresses if not address.startswith("#")} == {"data:,"}
    assert not {tag for tag, _ in seen.tags} & {"img", "iframe", "object", "embed", "video", "base"}
    assert [a["type"] for tag, a in seen.tags if tag == "script"] == ["application/json"]
    assert not [a for _, a in seen.tags if any(name.startswith("on") for name in a)]
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_equal_content_gives_equal_bytes(drawn):
    content, html = drawn

    assert render_report(RunReport.model_validate_json(content.model_dump_json())) == html


def test_ids_are_unique_and_every_reference_has_its_target(drawn):
    seen = _Seen(drawn[1])

    ids = [a["id"] for a in seen.with_attribute("id")]
    asked = [
        i for a in seen.with_attribute("aria-labelledby") for i in a["aria-labelledby"].split()
    ]

    assert len(ids) == len(set(ids))
    assert set(asked) <= set(ids)


def test_every_table_has_a_caption_and_every_chart_a_title(drawn):
    _, html = drawn
    named = [a for tag, a in _Seen(html).tags if tag == "svg" and a.get("role") == "img"]

    assert html.count("<table") == html.count("<caption")
    assert html.count("<title") == len(named) + 1


@pytest.mark.parametrize(
    ("field", "section"),
    [("gate", "gate"), ("scorecard", "scorecard"), ("slices", "slices"), ("errors", "errors"),
     ("copied", "copied"),
     ("calibration", "calibration"), ("costs", "costs"), ("compression", "compression"),
     ("curves", "losses"), ("stages", "stages"), ("examples", "examples"), ("facts", "facts"),
     ("recipe_yaml", "recipe")],
)  # fmt: skip
def test_a_section_without_data_is_left_out(field, section):
    rich = rich_report()
    empty = RunReport.model_fields[field].get_default(call_default_factory=True)

    html = render_report(rich.model_copy(update={field: empty}))

    assert _sections(html) == [name for name in SECTIONS if name != section]


def test_rows_are_shown_when_there_are_steps_or_parts():
    rich = rich_report()

    assert "rows" in _sections(render_report(rich.model_copy(update={"row_flow": ()})))
    assert "rows" in _sections(render_report(rich.model_copy(update={"parts": {}})))
    neither = rich.model_copy(update={"row_flow": (), "parts": {}})
    assert "rows" not in _sections(render_report(neither))


def test_the_smallest_report_has_a_title_a_badge_and_no_section():
    html = render_report(small_report())

    assert _sections(html) == []
    assert "<h1" in html
    assert "Still running" in html
    assert "data-metric" not in html.split("</style>")[1]


@pytest.mark.parametrize(
    ("state", "words"),
    [("passed", "Finished, no gate"), ("refused", "Refused by the gate"), ("failed", "Failed"),
     ("interrupted", "Interrupted"), ("running", "Still running")],
)  # fmt: skip
def test_the_badge_says_what_became_of_the_run(state, words):
    assert f"</svg>{words}</p>" in render_report(small_report(run_state=state))


def test_passed_is_said_only_where_a_gate_has_spoken():
    assert "</svg>Passed</p>" in render_report(rich_report())


def test_hostile_text_is_shown_as_text_everywhere():
    html = render_report(extreme_report())

    seen = _Seen(html)
    assert len([tag for tag, _ in seen.tags if tag == "script"]) == 1
    assert html.count("</script>") == 1
    assert HOSTILE in seen.text


def test_a_script_end_inside_the_content_does_not_end_the_data():
    html = render_report(small_report(headline="</script><!-- \u2028 &amp;"))

    assert json.loads(_data(html))["headline"] == "</script><!-- \u2028 &amp;"


def test_control_characters_become_visible_and_lone_surrogates_writable(tmp_path):
    example = ExampleRow(example_id="e", prompt="a\x00b\x1b[31m\ud800", answers={}, agrees=True)

    write_report(small_report(examples=[example]), tmp_path / "report.html")

    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "a␀b␛[31m\N{REPLACEMENT CHARACTER}" in html
    assert "\x00" not in html


def test_numbers_that_are_not_finite_are_dashes_with_their_name_in_the_data():
    values = {"student": Estimate(value=math.nan, low=-math.inf, high=math.inf, n=0)}
    metric = MetricRow(name="m", title="M", better="lower", values=values)

    html = render_report(small_report(metrics=[metric]))

    assert 'data-value="NaN" data-low="-Infinity" data-high="Infinity"' in html
    assert '<span class="value">—</span>' in html


def test_key_numbers_come_from_the_first_metric_with_the_most_candidates():
    one = Estimate(value=1.0, n=1)
    kl = MetricRow(name="kl", title="KL", better="lower", values={"student": one})
    wide = MetricRow(
        name="em", title="EM", better="higher", values={"teacher": one, "student": one}
    )
    last = wide.model_copy(update={"name": "f1"})

    assert key_metric([kl, wide, last]) is wide
    assert key_metric([]) is None


def test_a_metric_without_candidates_is_left_out():
    empty = MetricRow(name="m", title="M", better="lower", values={})

    assert _sections(render_report(small_report(metrics=[empty]))) == []


def test_a_failed_write_leaves_the_old_page(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write_report(small_report(), path)
    before = path.read_bytes()

    def full(self: Path, target: Path) -> Path:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        write_report(rich_report(), path)

    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_content_is_frozen_and_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="frozen"):
        small_report().title = "other"
    with pytest.raises(ValueError, match="Extra inputs"):
        small_report(colour="red")


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_meets_aa_and_marks_three_to_one_in_both_schemes(scheme):
    style = (Path(page_module.__file__).parent / "page.css").read_text()
    block = re.findall(r":root \{(.*?)\}", style, re.S)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))

    texts = [(name, ground) for name in ("ink", "quiet", "copper") for ground in ("paper", "card")]
    texts += [(tone, f"{tone}-tint") for tone in ("good", "bad", "unsure", "calm")]
    texts += [("ink", f"{tone}-tint") for tone in ("good", "bad", "unsure", "calm")]
    marks = [(f"mark-{i}", ground) for i in range(6) for ground in ("paper", "card")]

    weak = [p for p in texts if _contrast(colours[p[0]], colours[p[1]]) < 4.5]
    weak += [p for p in marks if _contrast(colours[p[0]], colours[p[1]]) < 3.0]
    assert weak == []
