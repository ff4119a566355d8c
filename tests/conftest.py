"""What many folders of tests share: a small tokenizer, and one finished run a worker."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

TINY = Path(__file__).parent / "e2e" / "tiny.yaml"
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_file():
    """A file of the shared test data by its name; skips the test where there is none."""

    def find(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.is_file():
            pytest.skip(f"no shared test data here: {name}")
        return path

    return find


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


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory):
    from tests.models.tiny_models import CORPUS

    from stillhouse.tokens.train import train_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(CORPUS, 300, folder, context=128)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder):
    from stillhouse.tokens.tokenizer import load_tokenizer

    return load_tokenizer(tokenizer_folder)


@pytest.fixture(scope="session")
def template(tokenizer):
    from stillhouse.tokens.template import ChatTemplate

    return ChatTemplate.of(tokenizer)
