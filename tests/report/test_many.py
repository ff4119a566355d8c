"""Two thousand examples of long foreign text make a page that still opens."""

from __future__ import annotations

import time

import pytest
from tests.report.browser import inspect_page
from tests.report.samples import ARABIC, CHINESE, HOSTILE, LONG_WORD, rich_report

from stillhouse.report.content import ExampleRow
from stillhouse.report.page import render_report, write_report

TEXTS = (ARABIC * 20, CHINESE * 20, HOSTILE, LONG_WORD, "\U0001f469\u200d\U0001f4bb" * 200)
MOST_SECONDS = 20.0
"""assumption: a second on a free machine; this one runs other tests at the same time."""


def _many():
    examples = tuple(
        ExampleRow(
            example_id=f"holdout-{number:05d}",
            prompt=TEXTS[number % 5],
            reference=TEXTS[(number + 1) % 5],
            answers={"teacher": TEXTS[(number + 2) % 5], "student": TEXTS[(number + 3) % 5]},
            agrees=number % 3 == 0,
        )
        for number in range(2000)
    )
    return rich_report().model_copy(update={"examples": examples})


def test_two_thousand_examples_are_rendered_each_once_in_time():
    report = _many()

    started = time.perf_counter()
    html = render_report(report)
    seconds = time.perf_counter() - started

    print(f"2,000 examples: {seconds:.2f} s, {len(html.encode()) / 1e6:.1f} MB")
    assert html.count("data-example=") == 2000
    assert seconds < MOST_SECONDS


@pytest.mark.long
@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_opens_two_thousand_examples_without_sideways_scroll(tmp_path, width):
    path = tmp_path / "report.html"
    write_report(_many(), path)

    assert inspect_page(path, width).problems() == []
