"""Models of Ollama's own: shown, made from files that are sent in blocks, and asked."""

import hashlib
import tracemalloc

import pytest
from tests.engines.fakes.ollama_store import OllamaStore

from stillhouse.core.errors import StillhouseError
from stillhouse.core.rows import Message
from stillhouse.engines.ollama_models import Blob, NewModel, OllamaModels

TURNS = [Message("user", "hi")]


@pytest.fixture
def blob(tmp_path):
    path = tmp_path / "student.gguf"
    path.write_bytes(b"GGUF" + bytes(range(256)) * 8)
    return Blob(path, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


def model(blob, **more):
    told = {"template": "{{ .System }}", "parameters": {"seed": 1, "stop": ["</s>"]}, **more}
    return NewModel("mine", {"student.gguf": blob}, **told)


def test_a_model_is_made_of_a_file_that_is_sent_once(blob, store):
    said = []
    with OllamaStore(store) as server:
        ollama = OllamaModels(server.url, said.append)
        ollama.create(model(blob, licence="apache-2.0"))
        ollama.create(model(blob, licence="apache-2.0"))
        assert ollama.version() == "0.30.1"
        assert ollama.show("mine")["template"] == "{{ .System }}"
        assert ollama.digest("mine") == server.digest("mine:latest")
        assert ollama.digest("other") == ""
    assert server.received_bytes == blob.path.stat().st_size
    assert server.path(f"sha256:{blob.sha256}").read_bytes() == blob.path.read_bytes()
    assert server.models["mine:latest"] == {
        "model": "mine",
        "stream": True,
        "files": {"student.gguf": f"sha256:{blob.sha256}"},
        "template": "{{ .System }}",
        "license": "apache-2.0",
        "parameters": {"seed": 1, "stop": ["</s>"]},
    }
    assert said[0] == "sending student.gguf, 2,052 bytes"
    assert said[-4:] == ["parsing GGUF", "creating new layer sha256:1", "writing manifest",
                         "success"]  # fmt: skip
    assert "student.gguf is there" in said


@pytest.mark.parametrize(
    ("fault", "says", "mend"),
    [
        ("blob_cut", "gave no answer", "make the same call again"),
        ("blob_torn", "digest mismatch", "log"),
        ("blob_no_room", "no space left", "free space where Ollama keeps"),
        ("stream_error", "did not make mine: planted", "log"),
        ("stream_no_room", "no space left", "free space where Ollama keeps"),
        ("stream_nonsense", "did not make mine: <html>", "log"),
        ("stream_cut", "gave no answer", "make the same call again"),
        ("stream_ends", "its answer ended with 'parsing GGUF'", "make the same call again"),
        ("old", "has no /api/blobs: an Ollama older than", "update"),
        ("server_error", "answers /api/blobs with status 500: planted", "log"),
    ],
)
def test_what_fails_is_said_and_a_second_call_goes_on(blob, store, fault, says, mend):
    with OllamaStore(store, faults=[fault]) as server:
        with pytest.raises(StillhouseError, match=says) as error:
            OllamaModels(server.url).create(model(blob))
        assert mend in error.value.hint
        assert "mine:latest" not in server.models
        before = server.received_bytes if fault.startswith("stream") else 0
        OllamaModels(server.url).create(model(blob))
        assert server.received_bytes == (before or blob.path.stat().st_size * (1 + _whole(fault)))
        assert "mine:latest" in server.models


def _whole(fault):
    """Whether the first call brought the bytes of a blob that was refused."""
    return fault in ("blob_torn", "blob_no_room")


def test_a_server_refuses_what_does_not_belong_together(blob, store, tmp_path):
    text = tmp_path / "text"
    text.write_bytes(b"no model")
    other = Blob(text, hashlib.sha256(b"no model").hexdigest())
    with OllamaStore(store, faults=["no_adapters"]) as server:
        ollama = OllamaModels(server.url)
        with pytest.raises(StillhouseError, match="no longer supported") as error:
            ollama.create(NewModel("mine", adapters={"a": blob}, base="llama3"))
        assert "ship the whole student" in error.value.hint
        with pytest.raises(StillhouseError, match="file does not exist"):
            ollama.create(NewModel("mine", adapters={"a": blob}, base="llama3"))
        with pytest.raises(StillhouseError, match="not in GGUF format"):
            ollama.create(NewModel("mine", {"a": other}))
        with pytest.raises(StillhouseError, match="digest mismatch"):
            ollama.create(NewModel("mine", {"a": Blob(text, blob.sha256[::-1])}))
        with pytest.raises(StillhouseError, match="unknown parameter 'heat'"):
            ollama.create(NewModel("mine", {"a": blob}, parameters={"heat": 1}))
        with pytest.raises(StillhouseError, match="invalid model name"):
            ollama.create(NewModel("a b", {"a": blob}))
        with pytest.raises(StillhouseError, match="has no model 'none'"):
            ollama.show("none")
    with pytest.raises(StillhouseError, match="gave no answer"):
        OllamaModels("http://127.0.0.1:9").version()


def test_a_model_is_asked_and_gets_another_name(blob, store):
    def answer(made, turns, options):
        return f"{made['system']}: {turns} {options}"

    with OllamaStore(store, answer, faults=["chat_cut"]) as server:
        ollama = OllamaModels(server.url)
        server.models["mine:latest"] = {"system": "old"}
        ollama.create(NewModel("mine:new", {"student.gguf": blob}, system="be short"))
        with pytest.raises(StillhouseError, match="gave no answer"):
            ollama.answer("mine:new", TURNS, {"seed": 0})
        told = ollama.answer("mine:new", TURNS, {"seed": 0})
        assert told == "be short: [('system', 'be short'), ('user', 'hi')] {'seed': 0}"
        ollama.rename("mine:new", "mine")
    assert list(server.models) == ["mine:latest"]
    assert server.models["mine:latest"]["system"] == "be short"


def test_a_large_file_is_never_in_memory(store, tmp_path):
    path, size = tmp_path / "large.gguf", 96 * 2**20
    with path.open("wb") as file:
        file.write(b"GGUF")
        file.truncate(size)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with OllamaStore(store) as server:
        tracemalloc.start()
        try:
            OllamaModels(server.url).create(NewModel("mine", {"large": Blob(path, digest)}))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    print(f"{size / 2**20:.0f} MB sent and kept, {peak / 2**20:.1f} MB of memory at most")
    assert server.received_bytes == size
    assert peak < 24 * 2**20
