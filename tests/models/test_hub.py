import socket
from dataclasses import replace

import pytest
from tests.models.fake_hub import FakeHub, Repo

from stillhouse.core.errors import ModelError
from stillhouse.models.hub import Hub, fetch_model, resolve_revision
from stillhouse.models.source import open_folder

COMMIT, OLD = "a" * 40, "b" * 40


@pytest.fixture(autouse=True)
def _online(monkeypatch):
    """Other tests may have set HF_HUB_OFFLINE before the library was imported."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.fixture
def files(folders):
    own = {path.name: path.read_bytes() for path in folders["llama"].iterdir()}
    return {**own, "README.md": b"# a model", "pytorch_model.bin": b"pickle"}


@pytest.fixture
def served(files):
    repos = {
        "org/good": Repo(files, {"main": COMMIT, "v1": OLD}),
        "org/gated": Repo(files, gated=True),
        "org/busy": Repo(files, status=429),
        "org/broken": Repo(files, status=503),
        "org/odd": Repo(files, status=418),
        "org/pickled": Repo({"config.json": b"{}", "pytorch_model.bin": b"pickle"}),
        "org/empty": Repo({"config.json": b"{}"}),
    }
    with FakeHub(repos) as fake:
        yield fake


@pytest.fixture
def hub(served, tmp_path):
    return Hub(endpoint=served.endpoint, cache=tmp_path / "cache")


def refusal(hub_id, hub, revision="", weights=True):
    with pytest.raises(ModelError) as caught:
        fetch_model(hub_id, revision, weights=weights, hub=hub)
    return str(caught.value)


def test_a_fetched_model_is_a_model_folder_without_pickles(hub, served):
    found = fetch_model("org/good", weights=True, hub=hub)

    assert found.commit == COMMIT
    assert open_folder(found.folder).config["model_type"] == "llama"
    names = {path.name for path in found.folder.iterdir()}
    assert not {"pytorch_model.bin", "README.md"} & names
    assert not any("pytorch_model.bin" in path for _, path in served.requests)


def test_without_weights_only_small_files_come(hub):
    found = fetch_model("org/good", weights=False, hub=hub)

    names = {path.name for path in found.folder.iterdir()}
    assert {"config.json", "tokenizer.json", "tokenizer_config.json"} <= names
    assert "model.safetensors" not in names


def test_a_tag_is_resolved_to_its_commit(hub):
    assert resolve_revision("org/good", "v1", hub=hub) == OLD
    assert resolve_revision("org/good", hub=hub) == COMMIT
    assert fetch_model("org/good", "v1", weights=False, hub=hub).commit == OLD


def test_what_was_fetched_once_is_there_without_a_network(hub, served):
    fetch_model("org/good", weights=True, hub=hub)
    served.requests.clear()
    offline = replace(hub, network=False)

    assert fetch_model("org/good", weights=True, hub=offline).commit == COMMIT
    assert resolve_revision("org/good", hub=offline) == COMMIT
    assert served.requests == []


def test_a_cached_model_survives_a_hub_that_is_down(hub, served):
    fetch_model("org/good", weights=True, hub=hub)
    served.repos["org/good"].status = 503

    assert fetch_model("org/good", weights=True, hub=hub).commit == COMMIT


def test_without_a_network_a_missing_model_says_how_to_fetch_it(hub, served):
    said = refusal("org/good", replace(hub, network=False))

    assert "org/good at main is not whole in the local cache, and the network is off" in said
    assert "network: hub" in said
    assert served.requests == []


def test_the_librarys_own_offline_switch_is_named(hub, served, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    assert "(and without HF_HUB_OFFLINE)" in refusal("org/good", hub)
    with pytest.raises(ModelError, match="the network is off"):
        resolve_revision("org/good", hub=hub)
    assert served.requests == []


def test_a_cache_without_weights_is_not_whole(hub):
    fetch_model("org/good", weights=False, hub=hub)

    assert "is not whole in the local cache" in refusal("org/good", replace(hub, network=False))


def test_an_unknown_id_names_the_nearest(hub):
    near = replace(hub, known_ids=("org/good", "other/thing"))

    assert "the hub has no model 'org/goood', or it is private" in refusal("org/goood", hub)
    assert "did you mean org/good?" in refusal("org/goood", near)


def test_an_id_that_cannot_be_one_is_refused(hub):
    assert "'a/b/c' is no hub id" in refusal("a/b/c", hub)


@pytest.mark.parametrize("weights", [True, False])
def test_an_unknown_revision_is_named(hub, served, weights):
    said = refusal("org/good", hub, "v9", weights)

    assert "org/good has no revision 'v9'" in said
    assert f"{served.endpoint}/org/good/commits/main" in said


@pytest.mark.parametrize("weights", [True, False])
def test_a_gated_model_says_how_to_get_in(hub, served, weights):
    said = refusal("org/gated", hub, weights=weights)

    assert "org/gated is gated" in said
    assert f"accept them at {served.endpoint}/org/gated" in said
    assert "hf auth login" in said


@pytest.mark.parametrize("weights", [True, False])
def test_too_many_requests_says_how_long_to_wait(hub, weights):
    said = refusal("org/busy", hub, weights=weights)

    assert "429 (too many requests)" in said
    assert "wait 7 seconds" in said


def test_a_fault_of_the_hub_is_called_so(hub, served):
    assert "it answers 503 for org/broken" in refusal("org/broken", hub)
    assert len(served.requests) < 5


def test_any_other_refusal_points_to_the_token(hub):
    assert "refuses org/odd with status 418" in refusal("org/odd", hub)


def test_a_pickled_model_is_refused_before_anything_is_fetched(hub, served):
    said = refusal("org/pickled", hub)

    assert "has pickle weights only (pytorch_model.bin)" in said
    assert not any("resolve" in path for _, path in served.requests)
    assert "has no weights" in refusal("org/empty", hub)


def test_nobody_at_the_address_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"

        said = refusal("org/good", Hub(endpoint=address, cache=tmp_path))

    assert f"{address} cannot be reached" in said
    assert "is not in the local cache" in said
