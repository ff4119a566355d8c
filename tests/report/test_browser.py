"""A real browser finds nothing wrong with the page, at any width, in either scheme."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from tests.report import browser
from tests.report.browser import chromium_path, inspect_page, open_page
from tests.report.samples import extreme_report, rich_report, small_report

from stillhouse.report.page import write_report

REPORTS = {"small": small_report, "rich": rich_report, "extreme": extreme_report}


@pytest.fixture(scope="module", params=REPORTS)
def written(request, tmp_path_factory) -> tuple[str, Path]:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(REPORTS[request.param](), path)
    return request.param, path


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900)])
def test_a_page_opens_whole_silent_and_within_its_window(written, width, height, scheme):
    name, path = written

    findings = inspect_page(path, width, height, scheme)

    assert findings.problems() == []
    assert findings.headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(findings.headings))
    assert findings.content.model_dump_json() == REPORTS[name]().model_dump_json()


@pytest.mark.browser
def test_the_two_schemes_differ_and_print_is_always_light(written):
    path = written[1]
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.body).color"

    with open_page(1280, 900, "dark") as page:
        page.goto(path.as_uri())
        dark = page.evaluate(ground)
        page.emulate_media(media="print")
        printed = page.evaluate(ink)
    with open_page(1280, 900, "light") as page:
        page.goto(path.as_uri())
        assert page.evaluate(ground) != dark
        assert page.evaluate(ink) == printed


@pytest.mark.browser
def test_a_wrong_figure_is_found(tmp_path):
    path = tmp_path / "report.html"
    write_report(rich_report(), path)
    html = path.read_text(encoding="utf-8").replace('data-value="0.8775"', 'data-value="0.8776"')
    path.write_text(html, encoding="utf-8")

    problems = inspect_page(path).problems()

    assert len(problems) == 3  # among the key numbers, at a glance, and in its card
    assert all("differs" in problem for problem in problems)


@pytest.mark.parametrize(
    ("required", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_no_browser_skips_unless_one_is_required(monkeypatch, required, outcome):
    monkeypatch.setattr(browser.shutil, "which", lambda name: None)
    monkeypatch.setenv("STILLHOUSE_REQUIRE_BROWSER", required)

    with pytest.raises(outcome, match="no Chromium"):
        chromium_path()
