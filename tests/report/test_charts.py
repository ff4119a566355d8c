"""Charts draw what is there, and nothing for what is not a number."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from stillhouse.report import charts, curves
from stillhouse.report.content import Curve, Estimate, MetricRow, StageRow
from stillhouse.report.svg import element, round_scale

NAN = math.nan


def _curve(*points: tuple[int, float], name: str = "student", kind: str = "train") -> Curve:
    return Curve.model_validate({"name": name, "points": points, "kind": kind})


def _chart(*drawn: Curve) -> ElementTree.Element:
    (panel,) = curves.panels_by_unit(drawn)
    return ElementTree.fromstring(curves.line_chart(panel, charts.name_slots([], drawn), "c"))


def _paths(chart: ElementTree.Element) -> list[str]:
    return [p.get("d", "") for p in chart.iter("path") if "curve" in p.get("class", "")]


@pytest.mark.parametrize(
    "values",
    [[], [NAN], [0.0], [1.0, 1.0], [0.76, 0.86], [-3.0, 4.0], [1e300, -1e300], [math.inf, 2.0],
     [1e-300, 2e-300], [5e-324, 0.0], [1.7e308, 1.0], [1e16, 1e16 + 2], [-1e-12, 1e-12]],
)  # fmt: skip
def test_a_scale_holds_every_finite_value_between_a_few_rising_ticks(values):
    scale = round_scale(values)

    assert 2 <= len(scale.ticks) <= 9
    assert list(scale.ticks) == sorted(set(scale.ticks))
    assert all(0.0 <= scale.share(v) <= 1.0 for v in values if math.isfinite(v))
    assert all(scale.tick_text(tick) for tick in scale.ticks)


def test_ticks_are_round_and_have_the_decimals_of_their_step():
    scale = round_scale([0.76, 0.86])

    assert [scale.tick_text(tick) for tick in scale.ticks] == ["0.75", "0.80", "0.85", "0.90"]


def test_attributes_and_text_are_escaped():
    assert element("text", {"class": '"><script>'}, "<b>&") == (
        '<text class="&#34;&gt;&lt;script&gt;">&lt;b&gt;&amp;</text>'
    )


def test_a_curve_is_cut_where_it_is_not_finite():
    chart = _chart(_curve((0, 3.0), (1, 2.0), (2, NAN), (3, 1.5), (4, 1.0), (5, math.inf)))

    (path,) = _paths(chart)
    assert path.count("M") == 2
    assert "nan" not in path
    assert "inf" not in path


def test_a_point_alone_is_drawn_as_a_mark():
    chart = _chart(_curve((7, 2.0)))

    assert _paths(chart) == [""]
    assert len([p for p in chart.iter("path") if "mark" in p.get("class", "")]) == 1


def test_a_curve_without_finite_values_still_makes_a_chart_and_says_so():
    lost = _curve((0, NAN), (1, NAN))

    assert _paths(_chart(lost)) == [""]
    assert curves.curve_text(lost) == "no finite value among 2"


def test_a_long_curve_is_thinned_but_keeps_its_spikes_and_ends():
    points = [(step, 1.0) for step in range(50_000)]
    points[31_337] = (31_337, 9.0)

    (path,) = _paths(_chart(_curve(*points)))

    places = re.findall(r"[\d.]+ [\d.]+", path)
    assert len(places) < 700
    assert any(place.startswith("626.8 100.0") for place in places)
    assert places[0].startswith("0.0 ")
    assert places[-1].startswith("1000.0 ")


def test_curves_are_drawn_per_unit_and_those_without_points_not_at_all():
    drawn = [_curve((0, 1.0)), _curve(), Curve(name="a", points=((0, 1),), kind="train", unit="s")]

    assert [panel.unit for panel in curves.panels_by_unit(drawn)] == ["nats", "s"]
    assert curves.panels_by_unit([_curve()]) == ()


def test_last_values_stand_beside_their_curves_without_touching():
    drawn = [_curve((0, 2.0), (9, 1.0 + i / 1000), name=str(i), kind="validation")
             for i in range(6)]  # fmt: skip

    labels = [t for t in _chart(*drawn).iter("text") if t.get("class") == "end-label"]

    heights = sorted(float(label.get("y", "nan")) for label in labels)
    assert len(labels) == 6
    assert all(low + 14 < high for low, high in pairwise(heights))


def test_a_name_has_one_slot_in_metrics_and_curves():
    estimate = Estimate(value=1.0, n=1)
    metric = MetricRow(name="m", title="M", better="lower",
                       values={"teacher": estimate, "student": estimate})  # fmt: skip

    slots = charts.name_slots([metric], [_curve((0, 1.0)), _curve((0, 1.0), name="twin")])

    assert slots == {"teacher": 0, "student": 1, "twin": 2}


@pytest.mark.parametrize(
    ("estimate", "num_marks", "num_whiskers"),
    [(Estimate(value=0.5, low=0.4, high=0.6, n=9), 1, 1), (Estimate(value=0.5, n=9), 1, 0),
     (Estimate(value=NAN, low=NAN, high=NAN, n=0), 0, 0),
     (Estimate(value=math.inf, low=1.0, high=math.inf, n=2), 0, 1)],
)  # fmt: skip
def test_an_interval_plot_draws_only_what_was_measured(estimate, num_marks, num_whiskers):
    metric = MetricRow(name="m", title="M", better="lower", values={"student": estimate})

    row = charts.interval_plot("student", estimate, charts.metric_scale(metric), 0)

    assert row.count('class="mark') == num_marks
    assert row.count('class="whisker') == num_whiskers
    assert "nan" not in row


def test_costs_of_stages_leave_out_what_is_not_known():
    stages = [StageRow(name="a", state="done", seconds=2.0, peak_bytes=7),
              StageRow(name="b", state="skipped"),
              StageRow(name="c", state="failed", seconds=NAN)]  # fmt: skip

    assert charts.stage_costs(stages) == charts.StageCosts(2.0, 2.0, 7)
    assert charts.stage_costs([]) == charts.StageCosts(0.0, 0.0, 0)
    assert charts.share_bar(None, 2.0, "b", "time") == ""
    assert charts.share_bar(0.0, 0.0, "b", "time") == ""


def test_a_wide_loss_is_drawn_in_decades_and_a_narrow_one_is_not():
    from stillhouse.report.svg import DecadeScale, loss_scale

    wide = loss_scale([6.0, 0.004])
    assert isinstance(wide, DecadeScale)
    assert wide.ticks == (0.001, 0.01, 0.1, 1.0, 10.0)
    assert wide.share(0.1) == 0.5
    assert wide.share(0.0) == 0.0
    assert wide.tick_text(0.001) == "0.001"
    assert wide.tick_text(1e-6) == "1e-06"
    for values in ([6.0, 3.0], [1.0, 0.0], [], [float("nan")]):
        assert not isinstance(loss_scale(values), DecadeScale)
