"""A recipe that names a model of the hub: fetched, priced, run, or refused with what to do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from ruamel.yaml import YAML
from tests.e2e.families import write_models, write_recipe
from tests.models.fake_hub import FakeHub, Repo

pytestmark = pytest.mark.xdist_group("hub")
MAIN, OLD = "a" * 40, "b" * 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("qwen3")
    write_models("qwen3", root)
    return root


@pytest.fixture(scope="module")
def repos(folder):
    def files(name):
        return {path.name: path.read_bytes() for path in (folder / name).iterdir()}

    branches = {"main": MAIN, "v1": OLD}
    return {
        "lab/teacher": Repo(files("teacher"), branches=branches),
        "lab/student": Repo(files("student")),
        "lab/closed": Repo(files("teacher"), gated=True),
    }


@pytest.fixture
def hub(repos):
    with FakeHub(repos) as hub:
        yield hub


@pytest.fixture
def recipe(folder, tmp_path):
    """`recipe(teacher)`: a recipe with that teacher and the student `lab/student`."""
    write_recipe("qwen3", tmp_path, lora=True)

    def write(teacher):
        path = tmp_path / "recipe.yaml"
        plain = YAML(typ="safe").load(path)
        plain |= {"network": "hub", "teacher": teacher, "student": {"hub": "lab/student"}}
        YAML().dump(plain, path)
        return path

    return write


@pytest.fixture
def call(hub, tmp_path):
    """`call(command, recipe)` with the hub's address; gives what was printed."""

    def run(command, recipe, *, code, **environment):
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            "HF_HOME": str(tmp_path / "hub"),
            "HF_ENDPOINT": hub.endpoint,
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
            **environment,
        }
        words = [command, str(recipe), "--runs", str(tmp_path / "runs")]
        done = subprocess.run(
            [sys.executable, "-m", "stillhouse.cli.main", *words],
            capture_output=True,
            text=True,
            env=environment,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


def fetched(tmp_path):
    return {path.name for path in (tmp_path / "hub").rglob("*") if path.is_file()}


def test_check_prices_a_model_of_the_hub_without_its_weights(call, recipe, tmp_path, hub):
    said = call("check", recipe({"hub": "lab/teacher", "revision": "v1"}), code=0)

    assert "finetune" in said
    assert not [name for name in hub.requests if name[1].endswith(".safetensors")]
    assert any(OLD in path or "v1" in path for _, path in hub.requests if "teacher" in path)


def test_a_run_fetches_the_weights_once_and_goes_on_offline(call, recipe, tmp_path, hub):
    path = recipe({"hub": "lab/teacher", "revision": "v1"})

    said = call("run", path, code=0)

    weights = [path for kind, path in hub.requests if path.endswith(".safetensors")]
    assert {path.split("/")[2] for path in weights} == {"teacher", "student"}
    assert "version: v-" in said
    base = next((tmp_path / "runs").rglob("export-*/bundle/adapter/adapter_config.json"))
    assert '"base_model_name_or_path": "lab/student"' in base.read_text()

    num_requests = len(hub.requests)
    again = call("run", path, code=0, HF_HUB_OFFLINE="1")
    assert "version: v-" in again
    assert len(hub.requests) == num_requests


@pytest.mark.parametrize(
    ("teacher", "environment", "words"),
    [
        ({"hub": "lab/tacher"}, {}, ["the hub has no model 'lab/tacher'", "hf auth login"]),
        ({"hub": "lab/closed"}, {}, ["lab/closed is gated", "terms"]),
        (
            {"hub": "lab/teacher", "revision": "v9"},
            {},
            ["lab/teacher has no revision 'v9'", "commits/main"],
        ),
        (
            {"hub": "lab/teacher"},
            {"HF_HUB_OFFLINE": "1"},
            ["lab/teacher at main is not in the local cache", "HF_HUB_OFFLINE"],
        ),
        (
            {"hub": "lab/teacher"},
            {"HF_ENDPOINT": "http://127.0.0.1:9"},
            ["cannot be reached", "lab/teacher at main is not in the local cache"],
        ),
    ],
    ids=["no such model", "gated", "no such revision", "offline", "unreachable"],
)
def test_a_model_that_cannot_be_had_is_refused_with_what_to_do(
    call, recipe, teacher, environment, words
):
    said = call("check", recipe(teacher), code=2, **environment)

    for word in words:
        assert word in said
