"""Models of Ollama's own: shown, and made from files."""

import pytest
from tests.engines.fakes.ollama_server import FakeOllama

from stillhouse.core.errors import StillhouseError
from stillhouse.engines.ollama_models import NewModel, create_model, show_model


def test_a_model_is_made_of_a_file_that_is_sent_once(tmp_path):
    path = tmp_path / "student.gguf"
    path.write_bytes(b"GGUF" + bytes(range(256)) * 8)
    model = NewModel(
        "mine", {"student.gguf": path}, template="{{ .Prompt }}", parameters={"seed": 1}
    )
    with FakeOllama() as server:
        create_model(server.url, model)
        create_model(server.url, model)
        assert list(server.speech.blobs.values()) == [path.read_bytes()]
        assert server.speech.models["mine"] == {
            "model": "mine",
            "stream": False,
            "files": {"student.gguf": next(iter(server.speech.blobs))},
            "template": "{{ .Prompt }}",
            "parameters": {"seed": 1},
        }
        assert show_model(server.url, "mine")["template"] == "{{ .Prompt }}"


def test_an_adapter_goes_over_a_model_that_is_there(tmp_path):
    path = tmp_path / "adapter.gguf"
    path.write_bytes(b"GGUF")
    with FakeOllama() as server:
        create_model(server.url, NewModel("mine", adapters={"a": path}, base="llama3", system="Hi"))
        told = server.speech.models["mine"]
    assert (told["from"], list(told["adapters"]), told["system"]) == ("llama3", ["a"], "Hi")


def test_what_fails_is_said_with_what_to_do(tmp_path):
    with FakeOllama() as server, pytest.raises(StillhouseError, match="has no model 'none'"):
        show_model(server.url, "none")
    with pytest.raises(StillhouseError, match="gave no answer: no_connection"):
        show_model("http://127.0.0.1:9", "none")
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(StillhouseError, match="gave no answer"):
        create_model("http://127.0.0.1:9", NewModel("mine", {"a": path}))
