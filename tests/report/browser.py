"""Open a page in a headless Chromium and say what was found."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, sync_playwright

from stillhouse.report.content import RunReport

_READ_PAGE = """() => ({
  scroll: document.scrollingElement.scrollWidth,
  inner: window.innerWidth,
  data: document.getElementById("report-data").textContent,
  figures: [...document.querySelectorAll("[data-metric]")].map(e => ({...e.dataset})),
  headings: [...document.querySelectorAll("h1, h2, h3")].map(e => Number(e.tagName[1])),
  unnamed: [...document.querySelectorAll("svg[role=img]")]
    .filter(e => !e.querySelector("title")).length,
})"""


@dataclass(frozen=True)
class PageFindings:
    """What a browser saw of a page.

    Attributes:
        console: errors and warnings of the console, and uncaught errors.
        requests: every address asked for, but the file's own.
        scroll_width: width of the whole page in CSS pixels.
        inner_width: width of the window in CSS pixels.
        content: the embedded `#report-data`.
        figures: the data attributes of every metric's number on the page.
        headings: levels in order.
        num_unnamed_charts: charts without a title.
    """

    console: list[str]
    requests: list[str]
    scroll_width: int
    inner_width: int
    content: RunReport
    figures: list[dict[str, str]] = field(repr=False)
    headings: list[int] = field(repr=False)
    num_unnamed_charts: int

    def problems(self) -> list[str]:
        """Everything that is wrong, in words; empty for a good page."""
        found = [f"console: {text}" for text in self.console]
        found += [f"request: {address}" for address in self.requests]
        if self.scroll_width > self.inner_width:
            found.append(f"scrolls sideways: {self.scroll_width} > {self.inner_width}")
        if self.num_unnamed_charts:
            found.append(f"{self.num_unnamed_charts} charts have no title")
        return found + self._wrong_figures()

    def _wrong_figures(self) -> list[str]:
        known = {
            (metric.name, candidate): estimate
            for metric in self.content.metrics
            for candidate, estimate in metric.values.items()
        }
        found = []
        for figure in self.figures:
            estimate = known.get((figure["metric"], figure["candidate"]))
            shown = [figure["value"], figure["low"], figure["high"], figure["n"]]
            if estimate is None or not all(
                _is_same(text, value)
                for text, value in zip(shown, estimate.model_dump().values(), strict=True)
            ):
                found.append(f"figure {figure} differs from {estimate}")
        shown_keys = {(figure["metric"], figure["candidate"]) for figure in self.figures}
        return found + [f"figure {key} is not shown" for key in known.keys() - shown_keys]


def _is_same(text: str, value: float | None) -> bool:
    if value is None or text == "null":
        return value is None and text == "null"
    number = float(text)
    return number == value or (math.isnan(number) and math.isnan(value))


def chromium_path() -> str:
    """The system's Chromium; skips the test without one, fails it where one is required."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        reason = f"no Chromium: none of {', '.join(names)} is on the PATH"
        if os.environ.get("STILLHOUSE_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@contextmanager
def open_page(width: int, height: int, scheme: str) -> Iterator[Page]:
    """An empty page of a headless Chromium, closed at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=["--no-sandbox", "--hide-scrollbars"]
        )
        try:
            shape: dict[str, Any] = {"viewport": {"width": width, "height": height}}
            yield browser.new_page(**shape, color_scheme=scheme, device_scale_factor=1)
        finally:
            browser.close()


def inspect_page(
    path: Path,
    width: int = 1280,
    height: int = 900,
    scheme: Literal["light", "dark"] = "light",
    screenshot: Path | None = None,
) -> PageFindings:
    """Open a report in a window of this size and colour scheme, every fold opened.

    Args:
        path: the HTML file.
        width: of the window, CSS pixels.
        height: of the window, CSS pixels.
        scheme: what the reader prefers.
        screenshot: where to write the whole page as PNG, folds closed; None writes none.
    """
    address = path.resolve().as_uri()
    console: list[str] = []
    requests: list[str] = []
    with open_page(width, height, scheme) as page:
        page.on("console", lambda m: console.append(m.text) if m.type in _LOUD else None)
        page.on("pageerror", lambda error: console.append(str(error)))
        page.on("request", lambda r: requests.append(r.url) if r.url != address else None)
        page.goto(address)
        if screenshot is not None:
            page.screenshot(path=screenshot, full_page=True)
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
        seen = page.evaluate(_READ_PAGE)
    return PageFindings(
        console=console,
        requests=[url for url in requests if url != "data:,"],
        scroll_width=seen["scroll"],
        inner_width=seen["inner"],
        content=RunReport.model_validate_json(seen["data"]),
        figures=seen["figures"],
        headings=seen["headings"],
        num_unnamed_charts=seen["unnamed"],
    )


_LOUD = ("error", "warning")
