"""A student onto the hub: one commit that holds its files and no others, or what to do."""

import hashlib

import huggingface_hub.utils._http as hub_http
import pytest
from tests.models.writable_hub import TOKEN, WritableHub

from stillhouse.core.errors import ArtifactError, StillhouseError, UsageError
from stillhouse.models.hub_push import Repository, Upload, push_files

# huggingface_hub hands a large file to its HTTP library in a way that one is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

WEIGHTS = bytes(range(256)) * 64


@pytest.fixture(autouse=True)
def _plain_transfers(monkeypatch):
    """Large files by Git LFS, which our hub speaks; online; no seconds between tries."""
    monkeypatch.setattr("huggingface_hub._commit_api.is_xet_available", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub_http.time, "sleep", lambda _: None)


@pytest.fixture
def files(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(WEIGHTS)
    card = b"---\nlicense: mit\n---\n\n# small\n"
    return {"model.safetensors": upload(path, WEIGHTS), "README.md": upload(card, card)}


def upload(source, data):
    return Upload(source, hashlib.sha256(data).hexdigest())


def to(hub, repo_id="me/small", token=TOKEN, **more):
    return Repository(repo_id, token=token, endpoint=hub.url, **more)


def test_a_repository_holds_the_files_of_one_commit(files):
    with WritableHub() as hub:
        first = push_files(to(hub, is_private=True), files, "small v-1")
        again = push_files(to(hub), files, "small v-1")
        there = dict(hub.repos["me/small"])
        changed = {"README.md": files["README.md"], "small-Q8_0.gguf": upload(b"GGUF", b"GGUF")}
        second = push_files(to(hub), changed, "small v-2")
    assert there.pop(".gitattributes")
    assert there == {"model.safetensors": WEIGHTS, "README.md": files["README.md"].source}
    assert hub.private == {"me/small"}
    assert (first.commit, first.url, first.deleted) == (again.commit, f"{hub.url}/me/small", ())
    assert second.deleted == ("model.safetensors",)
    assert sorted(hub.repos["me/small"]) == [".gitattributes", "README.md", "small-Q8_0.gguf"]
    assert hub.commits["me/small"] == ["initial commit", "small v-1", "small v-2"]
    assert hub.received_bytes == len(WEIGHTS) + 4
    assert TOKEN not in repr(to(hub))


def test_files_of_a_commit_that_came_in_between_are_not_left_beside_the_student(files):
    with WritableHub(["meanwhile"]) as hub:
        with pytest.raises(StillhouseError, match="me/small was changed by somebody else at the"):
            push_files(to(hub), files, "small v-1")
        assert push_files(to(hub), files, "small v-1").deleted == ("of-somebody-else.txt",)
        assert sorted(hub.repos["me/small"]) == [".gitattributes", *sorted(files)]


def test_what_is_meant_to_be_private_goes_to_no_public_repository(files):
    with WritableHub() as hub:
        push_files(to(hub), {"README.md": files["README.md"]}, "small v-1")
        with pytest.raises(UsageError, match="me/small is there already, and public"):
            push_files(to(hub, is_private=True), files, "small v-2")
        assert hub.commits["me/small"] == ["initial commit", "small v-1"]
        hub.private.add("me/small")
        push_files(to(hub, is_private=True), files, "small v-2")
        assert hub.commits["me/small"][-1] == "small v-2"


@pytest.mark.parametrize(
    ("fault", "kind", "says", "mend"),
    [
        ("unknown", UsageError, "does not know who is asking", "HF_TOKEN"),
        ("forbidden", UsageError, "does not let this account write to me/small", "is me you"),
        ("missing", UsageError, "none can be made there", "is the owner me right"),
        ("busy", StillhouseError, r"answers 429", "wait 7 seconds"),
        ("broken", StillhouseError, "a fault of its own: it answers 500", "same call again"),
        ("odd", StillhouseError, "refuses me/small with status 422: planted odd", "same call"),
        ("commit_conflict", StillhouseError, "changed by somebody else", "same call again"),
        ("torn", ArtifactError, "other bytes of model.safetensors", "same call again"),
    ],
)
def test_what_the_hub_refuses_is_said_and_a_second_call_goes_on(files, fault, kind, says, mend):
    faults = [fault] * (6 if fault in ("busy", "broken") else 1)
    with WritableHub(faults) as hub:
        with pytest.raises(kind, match=says) as error:
            push_files(to(hub), files, "small")
        assert mend in error.value.hint
        assert TOKEN not in str(error.value)
        hub.faults.clear()
        sent = hub.received_bytes
        push_files(to(hub), files, "small")
        assert hub.repos["me/small"]["model.safetensors"] == WEIGHTS
        assert hub.received_bytes == (sent or len(WEIGHTS))


def test_a_cut_connection_leaves_what_was_there(files):
    with WritableHub() as hub:
        push_files(to(hub), {"README.md": files["README.md"]}, "card")
        hub.faults = ["cut"] * 6
        with pytest.raises(StillhouseError, match=r"the connection to .* broke") as error:
            push_files(to(hub), files, "small")
        assert "same call again" in error.value.hint
        assert "model.safetensors" not in hub.repos["me/small"]
        hub.faults.clear()
        push_files(to(hub), files, "small")
        assert hub.repos["me/small"]["model.safetensors"] == WEIGHTS


def test_who_is_not_known_and_what_is_no_id_are_refused(files):
    with WritableHub() as hub:
        with pytest.raises(UsageError, match="does not know who is asking"):
            push_files(to(hub, token="hf_wrong"), files, "small")
        with pytest.raises(UsageError, match="is no id of the hub"):
            push_files(to(hub, "a/b/c"), files, "small")
        assert hub.repos == {}
    with pytest.raises(StillhouseError, match=r"the connection to .* broke"):
        push_files(Repository("me/small", token=TOKEN, endpoint="http://127.0.0.1:9"), files, "x")
