"""The page, its Markdown and its JSON say the same; scores follow from the page's own numbers."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal

import jsonschema
import pytest
from tests.report.samples import HOSTILE, extreme_report, rich_report, small_report

from stillhouse.report.content import GateView, MetricRow, RuleRow
from stillhouse.report.findings import Difference, Ratio
from stillhouse.report.markdown import markdown_text, render_markdown
from stillhouse.report.numbers import number_text, p_text, score_text, size_text, usd_text
from stillhouse.report.page import contents_of, render_report
from stillhouse.report.record import Estimate
from stillhouse.report.schema import SCHEMA_FILE, report_schema
from stillhouse.report.scorecard import scorecard


def odd_report():
    """Numbers that JSON has no word for."""
    odd = {"student": Estimate(value=math.nan, low=-math.inf, high=math.inf, n=0)}
    return small_report(metrics=[MetricRow(name="m", title="M", better="lower", values=odd)])


REPORTS = {"small": small_report, "rich": rich_report, "odd": odd_report}


def _embedded(html):
    found = re.search(r'id="report-data">(.*?)</script>', html, re.S)
    return json.loads(found.group(1))


@pytest.mark.parametrize("name", REPORTS)
def test_the_embedded_data_keeps_the_schema_that_is_shipped(name):
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    data = _embedded(render_report(REPORTS[name]()))

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(data, schema, jsonschema.Draft202012Validator)

    assert schema == report_schema()
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data | {"run_state": "fine"}, schema)


def test_markdown_holds_every_number_of_the_page():
    report = rich_report()
    html, text = render_report(report), render_markdown(report)

    # Every number of the sections that both forms have, as it is shown, and nothing left over.
    shown = [
        *(number_text(e.value) for m in report.metrics for e in m.values.values()),
        *(number_text(d.value) for m in report.metrics for d in m.differences.values()),
        *(p_text(d.p_corrected) for m in report.metrics for d in m.differences.values()
          if d.p_corrected is not None),
        *(number_text(c.value) for t in report.slices for r in t.rows for c in r.cells.values()),
        *(number_text(b.accuracy) for c in report.calibration for b in c.bins),
        *(score_text(line.score) for line in report.scorecard.lines),
        *(usd_text(c.usd_per_thousand) for c in report.costs.candidates),
        *(size_text(r.disk_bytes) for r in report.compression.rows),
        *(one.words for one in report.compression.ratios),
    ]  # fmt: skip
    plain = text.replace("\\", "")
    assert len(shown) > 60
    assert [number for number in shown if number not in plain] == []
    assert [number for number in shown if number not in html.replace("&lt;", "<")] == []


def test_markdown_has_the_sections_of_the_page_in_its_order():
    report = rich_report()
    drawn_only = {"losses", "examples", "recipe"}

    headings = re.findall(r"^## (.*)$", render_markdown(report), re.M)

    assert headings == [w for anchor, w in contents_of(report) if anchor not in drawn_only]


def test_markdown_shows_hostile_text_as_text_and_keeps_its_tables_whole():
    text = render_markdown(extreme_report())

    assert "<script" not in text.replace("\\<script", "")
    assert "<img" not in text.replace("\\<img", "")
    widths = {}
    for number, row in enumerate(text.splitlines()):
        if row.startswith("|"):
            cells = len(re.split(r"(?<!\\)\|", row))
            before = widths.get(number - 1)
            assert before in (None, cells), row
            widths[number] = cells


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a|b", r"a\|b"), ("two\nlines", "two lines"), ("kl_to_teacher", "kl_to_teacher"),
     ("_soft_", r"\_soft\_"), ("[x](y)", r"[x\](y)"), ("[0.1, 0.2]", "[0.1, 0.2]"),
     ("a & b", "a &amp; b"), ("\x00", "\N{SYMBOL FOR NULL}")],
)  # fmt: skip
def test_text_is_escaped_where_markdown_would_read_it(text, shown):
    assert markdown_text(text) == shown


@pytest.mark.parametrize(
    ("amount", "text"),
    [(None, "—"), ("0", "$0.00"), ("1234.5", "$1,234.50"), ("0.25", "$0.25"), ("0.1", "$0.10"),
     ("0.0021", "$0.0021"), ("0.00000912", "$0.00000912"), ("-0.3", "−$0.30")],
)  # fmt: skip
def test_money_shows_cents_and_what_is_smaller(amount, text):
    assert usd_text(None if amount is None else Decimal(amount)) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "—"), (0, "0 B"), (999, "999 B"), (29_984, "30 kB"), (1_234_000_000, "1.23 GB"),
     (10**13, "1e+04 GB")],
)  # fmt: skip
def test_a_size_has_three_digits(size, text):
    assert size_text(size) == text


def _lines(report):
    card = scorecard(report)
    return {line.title: line for line in card.lines} if card else {}


def test_every_line_of_the_scorecard_is_the_number_that_it_names():
    report = rich_report()

    lines = _lines(report)

    assert lines["Rules of the gate"].score == 10.0
    assert lines["Quality kept"].score == pytest.approx(10 * 0.8775 / 0.9125)
    assert lines["Gain over learning without the teacher"].score == 10.0
    assert lines["Evenness over genre"].score == pytest.approx(10 * 0.71 / 0.92)
    assert lines["Stated probabilities"].score == pytest.approx(10 * (1 - 0.06))
    assert lines["Answers that end"].score == pytest.approx(10 * (1 - 2 / 400))
    assert lines["Size"].score == pytest.approx(10 * (1 - 1 / 14.7))
    assert lines["Cost of an answer"].score == 10.0
    assert scorecard(report).overall == pytest.approx(
        sum(line.score for line in lines.values()) / len(lines)
    )
    assert all(line.source for line in lines.values())


def test_a_scorecard_without_numbers_is_none_and_a_larger_student_scores_nothing():
    report = rich_report()
    larger = Ratio(name="parameters", value=0.4, words="2.5 times larger")
    view = report.compression.model_copy(update={"ratios": (larger,)})

    assert scorecard(small_report()) is None
    assert _lines(report.model_copy(update={"compression": view}))["Size"].score == 0.0


@pytest.mark.parametrize(
    ("low", "high", "score"), [(0.01, 0.2, 10.0), (-0.1, 0.1, 5.0), (-0.3, -0.1, 0.0)]
)
def test_the_gain_over_the_twin_needs_an_interval_on_one_side(low, high, score):
    report = rich_report()
    gap = Difference(value=(low + high) / 2, low=low, high=high, n=9)
    first = report.metrics[0].model_copy(update={"differences": {"twin": gap}})

    lines = _lines(report.model_copy(update={"metrics": (first, *report.metrics[1:])}))

    assert lines["Gain over learning without the teacher"].score == score


def test_a_gate_of_undecided_rules_says_how_many_examples_would_decide():
    rule = RuleRow(text="exact_match at least 0.9", value=0.91, low=0.85, high=0.95, limit=0.9,
                   outcome="not enough data", n=90, n_enough=12_345, reason="")  # fmt: skip
    gate = GateView(passed=None, candidate="student", rules=(rule,), fallback="teacher")

    report = small_report(gate=gate)

    assert "about 12,345 examples would decide" in render_report(report)
    assert "| 12,345 |" in render_markdown(report)
    assert "There was not enough data" in render_report(report)


@pytest.mark.parametrize(
    ("passed", "others", "words"),
    [(True, (), "Passed"), (False, (), "Finished, the gate said no"),
     (None, (), "Finished, not enough data to pass"),
     (True, (False,), "Finished, the gate said no")],
)  # fmt: skip
def test_the_badge_of_a_run_that_ended_says_what_its_gates_said(passed, others, words):
    def gate(answer):
        return GateView(passed=answer, candidate="student", rules=())

    report = small_report(
        run_state="passed", gate=gate(passed), other_gates=tuple(map(gate, others))
    )

    assert f"</svg>{words}</p>" in render_report(report)
    assert f"**{words}.**" in render_markdown(report)


@pytest.mark.parametrize(("state", "first"), [("failed", "stages"), ("refused", "gate")])
def test_a_run_that_failed_shows_its_stages_first(state, first):
    assert contents_of(rich_report().model_copy(update={"run_state": state}))[0][0] == first


def test_hostile_names_of_slices_and_clusters_stay_text():
    html = render_report(extreme_report())

    assert html.count("<script") == 1
    assert HOSTILE.split(">")[0] + ">" not in html.split("</style>")[1].split("<script type")[0]


def test_a_rule_that_is_not_asked_is_told_and_counts_neither_way():
    waits = RuleRow(text="entropy over the production's at least 0.9", limit=0.9,
                    outcome="not asked", reason="no version in production yet")  # fmt: skip
    kept = waits.model_copy(update={"text": "exact_match at least 0.9", "outcome": "pass"})
    gate = GateView(passed=True, candidate="student", rules=(waits, kept))
    report = rich_report().model_copy(update={"gate": gate, "other_gates": ()})

    page, text = render_report(report), render_markdown(report)
    line = next(one for one in scorecard(report).lines if one.title == "Rules of the gate")

    assert "keeps every rule that was asked; 1 was not." in page
    assert "no version in production yet" in page
    assert "student passes; 1 of its rules not asked." in text
    assert (line.score, line.source) == (10.0, "gate: 1 of 1 rules pass, 1 not asked")
    none = report.model_copy(update={"gate": gate.model_copy(update={"rules": (waits,)})})
    assert "Rules of the gate" not in [one.title for one in scorecard(none).lines]
