"""A student leaves its run: what a gate passed, in the bytes of then, whole or not at all."""

import json
import os
import sys
from pathlib import Path

import pytest
from tests.engines.fakes.ollama_store import OllamaStore, request_of
from tests.runner.bundles import (
    WEIGHTS,
    add_ollama,
    answers,
    artifact,
    change_recipe,
    copied,
    corpus_of,
    seal,
)

from stillhouse.cli.main import main
from stillhouse.core.errors import ArtifactError, GateRefusedError, StillhouseError, UsageError
from stillhouse.core.hashing import digest_file
from stillhouse.engines import llama_cpp as engine_module
from stillhouse.recipes.gguf_names import WEIGHTS_KEY
from stillhouse.runner.exporting import ExportCall, export_run

pytestmark = pytest.mark.xdist_group("e2e")

BUNDLE = ("README.md", "data_card.md", "prompt.json", "version_info.json", "merged/config.json",
          "merged/generation_config.json", "merged/model.safetensors", "merged/tokenizer.json",
          "merged/tokenizer_config.json")  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]
FAKE = (sys.executable, "-m", "tests.engines.fakes.gguf_child")


@pytest.fixture(autouse=True)
def fake_child(monkeypatch):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setattr(engine_module, "_COMMAND", FAKE)
    monkeypatch.setattr(engine_module, "_PACKAGE", "json")


@pytest.fixture
def place(tiny_run, tmp_path):
    return copied(tiny_run, tmp_path)


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


def serving(place, store, **more):
    return OllamaStore(store, answers(corpus_of(place)), **more)


def shipped(place):
    lines = place.folder.events.read_text().splitlines()
    return [one for one in map(json.loads, lines) if one["event"] == "shipped"]


def spoil_gate(place, key, passed):
    item = next(one for one in place.folder.read().instances if one.key == key)
    path = place.store.path(item.artifact_id) / "manifest.json"
    told = json.loads(path.read_bytes())
    told["summary"]["verdict"]["passed"] = passed
    told["summary"]["verdict"]["rules"][0]["decision"] = "pass" if passed else "fail"
    path.write_text(json.dumps(told))


@pytest.mark.parametrize("system", [None, 'Answer "in JSON".\n'])
def test_ollama_gets_the_model_once_it_answers_as_the_file_does(place, store, system):
    own = add_ollama(place, system=system)
    said = []
    with serving(place, store) as server:
        server.models["tiny:latest"] = {"system": "an older one"}
        found = export_run(place, ExportCall("ollama", url=server.url), said.append)
        again = export_run(place, ExportCall("ollama", url=server.url), said.append)

    body = server.models["tiny:latest"]
    by_ollama = request_of((own.parent / "Modelfile").read_text(), body["model"],
                           {own.name: digest_file(own)})  # fmt: skip
    assert body == by_ollama
    assert list(server.models) == ["tiny:latest"]
    assert server.received_bytes == own.stat().st_size
    assert (found.name, found.asked, found.same) == ("tiny", 3, 3)
    assert found.file == (f"gguf/{own.name}", digest_file(own))
    assert again == found
    assert f"{own.name} is there" in said
    assert [one["digest"] for one in shipped(place)] == [found.digest] * 2
    assert server.calls.count(("POST", "/api/chat")) == 6


def test_a_model_that_answers_otherwise_gets_no_name(place, store):
    add_ollama(place)
    with serving(place, store, faults=["other_answer"]) as server:
        server.models["tiny:latest"] = {"system": "an older one"}
        with pytest.raises(ArtifactError, match="otherwise than the bundle's file") as error:
            export_run(place, ExportCall("ollama", url=server.url))
        assert server.models == {"tiny:latest": {"system": "an older one"}}
        assert "instead of" in error.value.message
        assert shipped(place) == []
        found = export_run(place, ExportCall("ollama", name="ours/tiny:v2", url=server.url,
                                             canaries=0))  # fmt: skip
        assert (found.name, found.asked) == ("ours/tiny:v2", 0)
        assert sorted(server.models) == ["ours/tiny:v2", "tiny:latest"]


def test_a_model_that_nobody_could_ask_gets_no_name(place, store):
    add_ollama(place)
    change_recipe(place, export={"gguf": {"weights": ["f16"], "max_new_tokens": 192}})
    with serving(place, store) as server:
        with pytest.raises(UsageError, match="no prompt of the holdout fits the 192") as error:
            export_run(place, ExportCall("ollama", url=server.url))
        assert "--canaries 0 asks nothing" in error.value.hint
        assert (server.received_bytes, server.models) == (0, {})
        assert export_run(place, ExportCall("ollama", url=server.url, canaries=0)).asked == 0


def test_a_call_that_was_cut_goes_on(place, store):
    own = add_ollama(place)
    with serving(place, store, faults=["stream_cut", "chat_cut"]) as server:
        for _ in range(2):
            with pytest.raises(StillhouseError, match="gave no answer"):
                export_run(place, ExportCall("ollama", url=server.url))
            assert "tiny:latest" not in server.models
        export_run(place, ExportCall("ollama", url=server.url))
        assert list(server.models) == ["tiny:latest"]
        assert server.received_bytes == own.stat().st_size


@pytest.mark.parametrize("name", ["a b", "Tiny", "a\nFROM b", "../a", "a/b/c", "", "-x"])
def test_a_name_that_says_more_is_refused_before_anything_is_sent(place, store, name):
    add_ollama(place)
    with serving(place, store) as server:
        call = ExportCall("ollama", name=name or " ", url=server.url)
        with pytest.raises(UsageError, match="is no name for a model in Ollama"):
            export_run(place, call)
        assert server.calls == []


def test_only_what_a_gate_passed_leaves(place, tmp_path):
    call = ExportCall(str(tmp_path / "out"))
    for key in ("gate", "gate@exported"):
        spoil_gate(place, key, False)
        with pytest.raises(GateRefusedError, match=f"{key} of 'tiny' refuses it: kl_to_teacher"):
            export_run(place, call)
        with pytest.raises(GateRefusedError, match="refuses it"):
            export_run(place, ExportCall(call.to, is_ungated=True))
        spoil_gate(place, key, True)
    assert not (tmp_path / "out").exists()
    assert export_run(place, call).files == len(BUNDLE)
    assert shipped(place)[0]["gates"] == ["gate", "gate@exported"]
    numbered = [export_run(place, ExportCall(str(tmp_path / "songs-v{n}"))) for _ in range(2)]
    assert [one.folder for one in numbered] == [str(tmp_path / "songs-v1")] * 2
    assert [one.is_new for one in numbered] == [True, False]


def test_a_recipe_without_a_gate_needs_the_word_for_it(place, tmp_path):
    path = place.folder.path / "run.json"
    record = json.loads(path.read_bytes())
    record["instances"] = [one for one in record["instances"] if one["stage"] != "gate"]
    path.write_text(json.dumps(record))
    with pytest.raises(GateRefusedError, match="has no gate") as error:
        export_run(place, ExportCall(str(tmp_path / "out")))
    assert "--without-gate" in error.value.hint
    export_run(place, ExportCall(str(tmp_path / "out"), is_ungated=True))
    assert [(one["to"], one["gates"]) for one in shipped(place)] == [("folder", [])]


def test_other_bytes_than_those_that_were_gated_do_not_leave(place, store, tmp_path):
    own = add_ollama(place)
    whole = own.read_bytes()
    own.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with serving(place, store) as server:
        for to in ("ollama", str(tmp_path / "out")):
            with pytest.raises(ArtifactError, match="its bytes are not those of the manifest"):
                export_run(place, ExportCall(to, url=server.url))
        assert server.calls == []
    assert not (tmp_path / "out").exists()


def test_a_manifest_that_names_a_file_outside_sends_nothing(place, tmp_path):
    path = artifact(place, "export") / "manifest.json"
    manifest = json.loads(path.read_bytes())
    (place.root / "secret").write_text("secret")
    size, digest = 6, digest_file(place.root / "secret")
    manifest["files"].append({"path": "bundle/../../../secret", "bytes": size, "sha256": digest})
    path.write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="leads out of its bundle"):
        export_run(place, ExportCall(str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("info", "pinned", "says"),
    [
        ({}, None, "nothing says that base:1 in Ollama is the model"),
        ({WEIGHTS_KEY: "cd" * 32}, None, f"trained on the weights {WEIGHTS}"),
        ({}, "0" * 64, f"the recipe pins {'0' * 64}"),
        ({WEIGHTS_KEY: WEIGHTS}, "0" * 64, "the recipe pins"),
    ],
)
def test_an_adapter_goes_on_no_other_base(place, store, info, pinned, says):
    add_ollama(place, base="base:1", base_digest=pinned)
    with serving(place, store, infos={"base:1": info}) as server:
        with pytest.raises(ArtifactError, match=says) as error:
            export_run(place, ExportCall("ollama", url=server.url))
        if pinned is None and not info:
            assert f"base_digest: {server.digest('base:1')}" in error.value.hint
        assert server.received_bytes == 0
        assert list(server.models) == ["base:1"]


@pytest.mark.parametrize("is_pinned", [False, True])
def test_an_adapter_goes_on_its_own_base(place, store, is_pinned):
    info = {} if is_pinned else {WEIGHTS_KEY: WEIGHTS}
    with serving(place, store, infos={"base:1": info}) as server:
        pinned = server.digest("base:1") if is_pinned else None
        add_ollama(place, base="base:1", base_digest=pinned)
        found = export_run(place, ExportCall("ollama", url=server.url))
        assert (found.base, found.asked, found.same) == ("base:1", 3, 3)
        assert server.models["tiny:latest"]["from"] == "base:1"
        assert sorted(server.models) == ["base:1", "tiny:latest"]


def test_an_adapter_that_ollama_leaves_out_or_refuses_is_no_model(place, store):
    add_ollama(place, base="base:1")
    infos = {"base:1": {WEIGHTS_KEY: WEIGHTS}}
    with OllamaStore(store, lambda *_: "the same", infos=infos, faults=["no_adapters"]) as server:
        with pytest.raises(StillhouseError, match="no longer supported") as error:
            export_run(place, ExportCall("ollama", url=server.url))
        assert "ship the whole student" in error.value.hint
        with pytest.raises(ArtifactError, match="changes none of 3 answers"):
            export_run(place, ExportCall("ollama", url=server.url))
        assert list(server.models) == ["base:1"]


def test_a_bundle_without_a_modelfile_says_what_to_write(place):
    with pytest.raises(UsageError, match="tells Ollama of nothing") as error:
        export_run(place, ExportCall("ollama"))
    assert "export.formats: [gguf, modelfile]" in error.value.hint
    with pytest.raises(UsageError, match="none of the places that are known"):
        export_run(place, ExportCall("olama"))


def test_a_modelfile_that_was_edited_is_not_followed(place, store):
    own = add_ollama(place)
    path = own.parent / "Modelfile"
    whole = path.read_text()
    for text in (
        whole.replace("./tiny-F16.gguf", "./../README.md"),
        whole + "MESSAGE user hi\n",
        whole.replace("FROM", "FROM other\nFROM"),
    ):
        path.write_text(text)
        seal(place)
        with serving(place, store) as server:
            with pytest.raises(ArtifactError, match=r"no file of the bundle|does not write"):
                export_run(place, ExportCall("ollama", url=server.url))
            assert server.received_bytes == 0


def test_the_command_says_what_was_made_and_ends_with_three_where_no_gate_passed(
    place, store, tmp_path, monkeypatch, capsys
):
    add_ollama(place)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["stillhouse", "export", "tiny", *words, "--runs",
                                          str(place.root)])  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    with serving(place, store) as server:
        code, out, err = call("--to", "ollama", "--url", server.url, "--json")
    assert (code, json.loads(out)["same"]) == (0, 3)
    assert "writing manifest" in err
    code, out, _ = call("--to", str(tmp_path / "out"))
    assert code == 0
    assert f"folder: {tmp_path / 'out'}\n" in out
    spoil_gate(place, "gate", False)
    code, out, err = call("--to", str(tmp_path / "again"))
    assert (code, out) == (3, "")
    assert "error: gate of 'tiny' refuses it" in err


def test_the_weights_that_a_modelfile_names_are_asked_about_alone(place, store):
    add_ollama(place)
    change_recipe(place, export={"formats": ["merged", "gguf", "modelfile"]})
    spoil_gate(place, "gate@exported", False)  # of the folder, which stays here
    with serving(place, store) as server:
        export_run(place, ExportCall("ollama", url=server.url, canaries=1))
        assert list(server.models) == ["tiny:latest"]
