"""Pauses: what a server asks for, and what we choose."""

import random
from datetime import UTC, datetime

import pytest

from stillhouse.core.retry_after import retry_after_s
from stillhouse.engines.retry import RetryPolicy

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sunday, 01-Mar-26 12:01:00 GMT", 60.0),
        ("soon", None),
        ("", None),
        ("inf", None),
        ("nan", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header, seconds):
    assert retry_after_s(header, NOW) == seconds


def test_pauses_are_drawn_below_a_doubling_bound():
    policy = RetryPolicy(first_s=1.0, longest_s=8.0)
    draw = random.Random(0)
    for failures, bound in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (9, 8.0), (5000, 8.0)]:
        pauses = [policy.pause_s(failures, draw) for _ in range(300)]
        assert max(pauses) <= bound
        assert max(pauses) > 0.9 * bound
        assert min(pauses) < 0.1 * bound
