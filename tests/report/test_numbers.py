"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from stillhouse.report.numbers import (
    duration_text,
    exact_text,
    interval_text,
    limit_text,
    memory_text,
    number_text,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"), (math.nan, "—"), (math.inf, "∞"), (-math.inf, "−∞"), (0.0, "0"), (-0.0, "0"),
        (0.8125, "0.8125"), (-0.035, "−0.0350"), (0.00123456, "0.00123"), (0.99999, "1.0000"),
        (1.2345, "1.234"), (12.345, "12.35"), (123.45, "123.5"), (1234.5, "1,234"),
        (999_999.4, "999,999"), (1e6, "1.00×10⁶"), (1.23e-5, "1.23×10⁻⁵"), (-1e300, "−1.00×10³⁰⁰"),
    ],
)  # fmt: skip
def test_a_number_has_three_or_four_digits(value, text):
    assert number_text(value) == text


def test_an_interval_lines_up_with_its_value():
    assert interval_text(0.0984, 0.087, 0.1102) == "[0.0870, 0.1102]"
    assert interval_text(0.0, 0.0, 0.0184) == "[0.0000, 0.0184]"
    assert interval_text(0.0, 0.0, 0.0) == "[0, 0]"
    assert interval_text(1.0, None, 2.0) == ""
    assert interval_text(1.0, math.nan, 2.0) == ""


def test_a_limit_shows_only_the_digits_that_were_written():
    assert [limit_text(v) for v in (0.1, -0.05, 100.0, 5.0, 1e-9)] == [
        "0.1", "−0.05", "100", "5", "1.00×10⁻⁹",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "—"), (math.nan, "—"), (0.0, "0 s"), (0.001, "< 0.01 s"), (4.206, "4.21 s"),
     (12.34, "12.3 s"), (59.97, "1 min 00 s"), (252.0, "4 min 12 s"), (3599.7, "1 h 00 min"),
     (7500.0, "2 h 05 min")],
)  # fmt: skip
def test_a_duration_is_told_in_the_unit_of_its_size(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(None, "—"), (0, "0.0 MB"), (71_000_000, "71.0 MB"), (6_214_000_000, "6,214 MB"),
     (10**11, "100.0 GB")],
)  # fmt: skip
def test_memory_is_told_in_megabytes_until_they_are_too_many(num_bytes, text):
    assert memory_text(num_bytes) == text


@pytest.mark.parametrize("value", [0.1 + 0.2, 1e-17, -3, 5e-324, math.inf, -math.inf])
def test_exact_text_reads_back_as_the_same_number(value):
    assert float(exact_text(value)) == value
