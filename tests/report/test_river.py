import re

import pytest

from stillhouse.report.charts import widest_count
from stillhouse.report.content import FlowStep
from stillhouse.report.river import kinds_of, stretch

STEPS = (
    FlowStep(step="clean", rows_in=800, rows_out=800),
    FlowStep(step="pair", rows_in=800, rows_out=1600, emitted=800),
    FlowStep(
        step="ask", rows_in=1600, rows_out=1000, dropped={"a": 300, "b": 100}, merged=150,
        deferred={"c": 50},
    ),
)  # fmt: skip


def parts(step, widest):
    """Kind, start and end of each part across, at the step's own edge."""
    pattern = r'class="(\w+)" d="M([\d.]+) \d+H([\d.]+)'
    return [(k, float(a), float(b)) for k, a, b in re.findall(pattern, stretch(step, widest))]


def test_stretches_carry_each_other_on_in_one_scale():
    widest = widest_count(STEPS)
    scale = 960 / 1600

    assert parts(STEPS[0], widest) == [("kept", 0, 800 * scale)]
    assert parts(STEPS[1], widest) == [("kept", 0, 800 * scale), ("made", 800 * scale, 960)]
    kept, *ends = parts(STEPS[2], widest)
    assert kept == ("kept", 0, 1000 * scale)
    assert [kind for kind, _, _ in ends] == ["dropped", "dropped", "merged", "waits"]
    assert [round((b - a) / scale) for _, a, b in ends] == [300, 100, 150, 50]
    assert (ends[0][1], ends[-1][2]) == (1000 * scale, 960)


def test_every_count_is_spoken():
    said = re.findall(r"<title>(.*)</title>", stretch(STEPS[2], 1600))

    assert said == [
        "ask: 1,600 rows in; 1,000 goes on, 400 dropped, 150 merged into another, "
        "50 waits for an answer"
    ]
    assert [kind for kind, _ in kinds_of(STEPS)] == ["kept", "made", "dropped", "merged", "waits"]


def test_one_row_of_very_many_is_seen():
    step = FlowStep(step="a", rows_in=10**12, rows_out=10**12 - 1, dropped={"a": 1})

    (_, (_, start, end)) = parts(step, 10**12)
    assert end - start == pytest.approx(4.0)


def test_no_rows_give_an_empty_stretch():
    assert "path" not in stretch(FlowStep(step="a", rows_in=0, rows_out=0), 0)
