"""The full profile of prompt-transform, planned from small files: its founding slips are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.families import write_tokenizer
from tests.models.fake_hub import FakeHub, Repo

from stillhouse.recipes.facts import facts_for

pytestmark = pytest.mark.xdist_group("hub")
MODELS = ("Qwen/Qwen3-8B", "Qwen/Qwen3-4B-Instruct-2507")
PROMPTS = Path("src/stillhouse/tasks/prompts/transformer.yaml")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """The two models' configs as the facts have them, with a small tokenizer that can think."""
    folder = write_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    path = folder / "tokenizer_config.json"
    switch = (Path(__file__).parents[1] / "tokens" / "families" / "qwen3.jinja").read_text()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": switch}))
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    repos = {}
    for name in MODELS:
        facts = facts_for(name)
        config = json.dumps(facts.shape.config() | {"model_type": "qwen3"}).encode()
        repos[name] = Repo(
            files | {"config.json": config},
            branches={"main": facts.revision},
        )
    with FakeHub(repos) as served:
        yield served


@pytest.fixture
def check(hub, tmp_path):
    """`check(*changes, code)`: what `stillhouse check prompt-transform` says, to a stranger."""

    def run(*changes, code=0):
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            "HF_HOME": str(tmp_path / "hub"),
            "HF_ENDPOINT": hub.endpoint,
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }
        words = ["check", "prompt-transform", "--runs", str(tmp_path / "runs")]
        words += [word for change in changes for word in ("--set", change)]
        done = subprocess.run(
            [sys.executable, "-m", "stillhouse.cli.main", *words],
            capture_output=True, text=True, env=environment,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


def test_the_plan_needs_no_file_and_tells_memory_licence_and_money(check):
    said = check()
    print(said)
    assert "step@write_prompts" in said
    assert "evaluate@base" in said
    assert "66,060,288 trained parameters" in said
    assert "apache-2.0" in said
    assert "take care: prepare.system" not in said
