"""What many folders of tests share: one finished run of a tiny recipe a worker."""

from dataclasses import dataclass
from pathlib import Path

import pytest

TINY = Path(__file__).parent / "e2e" / "tiny.yaml"
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True)
class FinishedRun:
    """A run of the tiny recipe that is done; read it, never change it."""

    root: Path
    name: str


@pytest.fixture(scope="session")
def tiny_recipe():
    return TINY


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The tiny recipe's finished run; put its tests into the xdist group `e2e`."""
    import stillhouse

    root = tmp_path_factory.mktemp("runs")
    stillhouse.run(str(TINY), stillhouse.Call(runs=str(root), name="tiny"))
    return FinishedRun(root, "tiny")
