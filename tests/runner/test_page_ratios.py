"""The teacher over the student: how many requests a latency rests on, and what is claimed."""

import pytest

from stillhouse.report.findings import SizeRow
from stillhouse.runner.page_ratios import claims_of, ratios_of


def row(candidate, **told):
    seconds = told.pop("seconds", None)
    count = told.pop("count", 20)
    return SizeRow(
        candidate=candidate,
        latency_p50_s=seconds,
        latency_n=count,
        dtype=told.pop("dtype", "float32"),
        **told,
    )


def named(teacher, student):
    return {one.name: one for one in ratios_of(teacher, student)}


def test_latency_is_that_of_medians():
    found = named(row("t", seconds=3.0, latency_mean_s=9.0), row("s", seconds=0.5))
    assert found["latency"].value == pytest.approx(6.0)
    assert found["latency"].words == "6.000 times faster"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"count": 19}, "latency of 19 requests"),
        ({"dtype": "bfloat16"}, "latency, float32 to bfloat16"),
    ],
)
def test_a_latency_that_compares_little_says_so(changes, name):
    assert name in named(row("t", seconds=3.0), row("s", seconds=0.5, **changes))


def bytes_of(parameters):
    return {"float32": 4 * parameters, "bfloat16": 2 * parameters}


def test_claims_stand_beside_what_was_measured():
    large, small = 774_030_080, 81_912_576
    teacher = row("t", seconds=3.05, parameters=large, bytes_by_dtype=bytes_of(large))
    student = row("s", seconds=0.364, parameters=small, bytes_by_dtype=bytes_of(small))

    fewer, smaller, faster = claims_of(teacher, student)

    assert fewer.measured == "89.4 % fewer"
    assert smaller.measured == "4.725 times"
    assert "of the same dtype 9.449 times" in smaller.note
    assert faster.measured == "8.379 times faster"


def test_what_was_not_timed_is_not_made_up():
    teacher, student = row("t", parameters=774_030_080), row("s", parameters=81_912_576)
    *_, faster = claims_of(teacher, student)
    assert faster.measured == ""
    assert "evaluate.latency" in faster.note


def test_nothing_is_claimed_of_other_pairs():
    assert not list(claims_of(row("t", parameters=10), row("s", parameters=5)))
