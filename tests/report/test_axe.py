"""axe-core finds nothing to hold against the page, in either scheme, on any screen."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from tests.report.browser import open_page
from tests.report.samples import extreme_report, rich_report, small_report

from stillhouse.report.page import write_report

pytestmark = [pytest.mark.long, pytest.mark.browser]

AXE = "axe-core@4.14.1"
REPORTS = {"small": small_report, "rich": rich_report, "extreme": extreme_report}


@pytest.fixture(scope="module")
def axe(tmp_path_factory) -> str:
    """The source of axe-core, out of the package registry."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on the PATH, so axe-core cannot be fetched")
    folder = tmp_path_factory.mktemp("axe")
    packed = subprocess.run(
        [npm, "pack", "--json", AXE], cwd=folder, capture_output=True, text=True, timeout=120
    )
    if packed.returncode:
        pytest.skip(f"npm cannot fetch {AXE}: {packed.stderr.strip().splitlines()[-1:]}")
    with tarfile.open(folder / json.loads(packed.stdout)[0]["filename"]) as archive:
        source = archive.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode()


def violations(path: Path, axe: str, width: int, scheme: str) -> list[str]:
    """What axe-core says of a page with every fold opened, with the first element it means."""
    with open_page(width, 844, scheme) as page:
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
        page.evaluate(axe)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert len(found["passes"]) > 5, "axe-core has looked at nothing"
    return [
        f"{one['impact']}: {one['id']}: {len(one['nodes'])} times, {one['nodes'][0]['html'][:200]} "
        f"{one['nodes'][0]['failureSummary'][:300]}"
        for one in found["violations"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", REPORTS)
def test_axe_finds_nothing(tmp_path, axe, name, width, scheme):
    path = tmp_path / "report.html"
    write_report(REPORTS[name](), path)

    found = violations(path, axe, width, scheme)

    print(f"{name} {width} {scheme}: {found}")
    assert found == []


def test_axe_sees_a_text_that_is_too_pale(tmp_path, axe):
    path = tmp_path / "report.html"
    write_report(rich_report(), path)
    html = path.read_text(encoding="utf-8").replace("--quiet: #625b51", "--quiet: #c8c2b8")
    path.write_text(html, encoding="utf-8")

    found = violations(path, axe, 1280, "light")

    assert any(one.startswith("serious: color-contrast") for one in found)
