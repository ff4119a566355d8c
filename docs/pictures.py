"""Write the pictures of the pages: heads and sections of the reports of real runs, as PNG.

    python docs/pictures.py RUNS

RUNS is a folder of runs that holds those of `PICTURES`; those that are missing are left as they
are. It needs playwright and a Chromium.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent / "pictures"
WIDTH, MOST_BYTES = 900, 100_000
_MARGIN = 12


@dataclass(frozen=True)
class Picture:
    """A part of a report's page.

    Attributes:
        name: of the file.
        run: whose report.
        section: title of the section; empty is everything above the list of sections.
    """

    name: str
    run: str
    section: str = ""


PICTURES = (
    Picture("banking77", "banking77"),
    Picture("songs", "songs-tiny"),
    Picture("songs-sft", "songs-sft-tiny"),
    Picture("accounting-qa", "accounting-qa-tiny"),
    Picture("prompt-transform", "prompt-transform-tiny", "Gate"),
    Picture("neurons", "neurons-tiny", "Slices of the holdout"),
)
"""Of `docs/how-to/banking77.yaml`, and of each system with `--profile tiny`."""


def main(runs: Path) -> None:
    """Write every picture whose run is there."""
    HERE.mkdir(exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
        for picture in PICTURES:
            report = runs / picture.run / "report.html"
            if report.is_file():
                page.goto(report.resolve().as_uri())
                _take(page, picture)
        browser.close()


def _take(page: Page, picture: Picture) -> None:
    target = HERE / f"{picture.name}.png"
    if picture.section:
        heading = page.get_by_role("heading", name=picture.section, exact=True)
        box = page.locator("section", has=heading).first.bounding_box()
    else:
        box = page.locator("nav").first.bounding_box()
    assert box is not None
    top, height = (box["y"], box["height"]) if picture.section else (40, box["y"] - 60)
    clip = {"x": 0, "y": top - _MARGIN, "width": WIDTH, "height": height + 2 * _MARGIN}
    page.screenshot(path=target, clip=clip, full_page=True)
    size = target.stat().st_size
    assert size <= MOST_BYTES, f"{target} has {size:,} bytes: take a smaller section"
    sys.stdout.write(f"{target.name}: {size:,} bytes\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
