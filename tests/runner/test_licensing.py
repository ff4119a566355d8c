"""Licences: asked before a student is trained, and again before it is handed on."""

import json

import pytest
from ruamel.yaml import YAML
from tests.models.writable_hub import TOKEN, WritableHub
from tests.runner.bundles import add_ollama, artifact, change_recipe, copied

from stillhouse.core.errors import RecipeError, UsageError
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.models import ModelSource
from stillhouse.runner.exporting import ExportCall, export_run
from stillhouse.runner.licensing import refuse_forbidden_weights

pytestmark = [
    pytest.mark.xdist_group("e2e"),
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]


@pytest.fixture
def place(tiny_run, tmp_path):
    return copied(tiny_run, tmp_path)


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr("huggingface_hub._commit_api.is_xet_available", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with WritableHub() as found:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", found.url)
        yield found


def say_of_rows(place, **summary):
    path = artifact(place, "collect") / "manifest.json"
    told = json.loads(path.read_bytes())
    told["summary"] |= summary
    path.write_text(json.dumps(told))


def student(hub_id, accept_terms=None):
    source = ModelSource(hub=hub_id, accept_terms=accept_terms)
    return load_recipe("quickstart").recipe.model_copy(update={"student": source})


def test_a_student_whose_licence_limits_it_is_refused_by_name_before_it_is_trained():
    limited = "Qwen/Qwen2.5-3B-Instruct"
    with pytest.raises(RecipeError, match="the licence 'qwen-research' of Qwen") as said:
        refuse_forbidden_weights(student(limited), "r.yaml")
    assert "start from Qwen/" in said.value.hint
    assert "Qwen/Qwen2.5-1.5B-Instruct or Qwen/Qwen3-4B" in said.value.hint
    assert "student.accept_terms: qwen-research" in said.value.hint
    refuse_forbidden_weights(student(limited, "qwen-research"), "r.yaml")
    refuse_forbidden_weights(student("Qwen/Qwen2.5-1.5B-Instruct"), "r.yaml")
    refuse_forbidden_weights(student("meta-llama/Llama-3.2-3B-Instruct"), "r.yaml")


def test_the_hub_gets_the_layout_that_its_users_look_for(place, hub):
    add_ollama(place)

    found = export_run(place, ExportCall("hub:me/small", is_private=True))

    there = hub.repos["me/small"]
    assert sorted(there) == [
        ".gitattributes", "Modelfile", "README.md", "config.json", "data_card.md",
        "generation_config.json", "model.safetensors", "prompt.json", "tiny-F16.gguf",
        "tokenizer.json", "tokenizer_config.json", "version_info.json",
    ]  # fmt: skip
    card = there["README.md"].decode()
    front = YAML(typ="safe").load(card.split("---")[1])
    assert front["pipeline_tag"] == "text-generation"
    assert 'from_pretrained("me/small")' in card
    assert "llama-server --hf-repo me/small --hf-file tiny-F16.gguf --jinja" in card
    assert "merged/" not in card
    assert "gguf/" not in card
    assert b"FROM ./tiny-F16.gguf" in there["Modelfile"]
    assert hub.private == {"me/small"}
    assert (found.repository, found.deleted) == (f"{hub.url}/me/small", ())
    events = place.folder.events.read_text()
    assert '"to": "hub me/small"' in events
    assert TOKEN not in events


@pytest.mark.parametrize("to", ["hub:", "hub:small", "hub:a/b/c", "hub:../small", "hub:me/..",
                                "hub:me/a b", "hub:me/a\n"])  # fmt: skip
def test_what_is_no_id_is_refused_before_the_hub_is_asked(place, hub, to):
    with pytest.raises(UsageError, match="is no id of the hub"):
        export_run(place, ExportCall(to))
    assert hub.calls == []


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ({"licences": {"genius-terms": 12}}, "12 rows are under genius-terms: The terms of"),
        ({"licences": {"CC-BY-NC-4.0": 1}}, "1 rows are under CC-BY-NC-4.0: Not for commercial"),
        ({"licences": {"none is said": 3, "MIT": 1}}, "3 rows are under none is said: its terms"),
        ({"warnings": ["4 rows were let through: no consent"]}, "4 rows were let through"),
    ],
)
def test_rows_that_may_not_be_used_hold_a_student_back_by_name(place, hub, rows, says):
    say_of_rows(place, **rows)
    with pytest.raises(UsageError, match=says) as error:
        export_run(place, ExportCall("hub:me/small"))
    assert "take let_through out of collect.rights" in error.value.hint
    assert hub.calls == []
    if rows.get("licences", {}).get("CC-BY-NC-4.0"):
        change_recipe(place, collect={"rights": {"also_permitted": ["CC-BY-NC-4.0"]}})
        export_run(place, ExportCall("hub:me/small"))


def test_a_name_that_a_licence_asks_for_is_asked_for(place, hub):
    source = {"hub": "meta-llama/Llama-3.2-3B-Instruct", "scratch": None}
    change_recipe(place, teacher=source)
    with pytest.raises(UsageError, match=r"llama3\.2 of meta-llama/Llama-3\.2-3B") as error:
        export_run(place, ExportCall("hub:me/small"))
    assert error.value.hint == "call it hub:me/Llama-small"
    assert hub.calls == []
    export_run(place, ExportCall("hub:me/Llama-small"))
    assert "me/Llama-small" in hub.repos
