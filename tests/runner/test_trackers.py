"""A tracker that is missing, or that would reach what the network policy forbids, is refused."""

import json

import pytest
from tests.recipes.test_load import GOOD

from stillhouse.core.errors import UsageError
from stillhouse.recipes.load import load_recipe
from stillhouse.runner import trackers
from stillhouse.runner.trackers import tracker_request


@pytest.fixture
def ask(tmp_path, monkeypatch):
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: name)
    path = tmp_path / "r.yaml"
    path.write_text(GOOD)

    def request(names, network="none", **environ):
        overrides = [f"report_to={json.dumps(names)}", f"network={json.dumps(network)}"]
        return tracker_request(load_recipe(str(path), overrides).recipe, tmp_path, environ)

    return request


def test_without_trackers_nothing_is_asked_for(ask):
    assert ask([]) == {}


def test_every_tracker_writes_into_the_folder_of_the_run(ask, tmp_path):
    told = ask(["tensorboard", "mlflow", "wandb", "trackio"])
    assert (told["folder"], told["project"]) == (str(tmp_path), "small")
    assert told["environment"] == {
        "MLFLOW_TRACKING_URI": f"file://{tmp_path}/mlflow",
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_EXPERIMENT_NAME": "small",
        "WANDB_DIR": str(tmp_path),
        "WANDB_PROJECT": "small",
        "WANDB_MODE": "offline",
        "TRACKIO_DIR": f"{tmp_path}/trackio",
    }


def test_what_the_environment_says_is_left_as_it_is(ask):
    told = ask(["mlflow", "wandb"], MLFLOW_TRACKING_URI="sqlite:///x.db", WANDB_DIR="elsewhere")
    assert told["environment"].keys() == {
        "MLFLOW_ALLOW_FILE_STORE",
        "MLFLOW_EXPERIMENT_NAME",
        "WANDB_PROJECT",
        "WANDB_MODE",
    }


@pytest.mark.parametrize(
    ("name", "environ", "host"),
    [
        ("mlflow", {"MLFLOW_TRACKING_URI": "https://mlflow.example.org/x"}, "mlflow.example.org"),
        ("trackio", {"TRACKIO_SPACE_ID": "me/space"}, "huggingface.co"),
    ],
)
def test_a_server_elsewhere_needs_the_network_that_leads_there(ask, name, environ, host):
    with pytest.raises(UsageError, match=f"{name} would reach {host}.*network: none"):
        ask([name], **environ)
    assert ask([name], network=[host], **environ)["names"] == [name]


def test_a_server_on_this_machine_is_no_network(ask):
    assert ask(["mlflow"], MLFLOW_TRACKING_URI="http://127.0.0.1:5000")["names"] == ["mlflow"]


def test_wandb_is_online_only_where_its_host_is_named(ask):
    assert "WANDB_MODE" not in ask(["wandb"], network=["api.wandb.ai"])["environment"]
    own = ask(["wandb"], WANDB_BASE_URL="https://wandb.example.org")
    assert own["environment"]["WANDB_MODE"] == "offline"


def test_a_tracker_that_is_not_installed_names_its_extra(ask, monkeypatch):
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="names trackio, which is not installed") as caught:
        ask(["trackio"])
    assert 'pip install "stillhouse[trackio]"' in caught.value.hint
