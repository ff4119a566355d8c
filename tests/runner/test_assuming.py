"""`check` before there are rows, and where the hub cannot be reached."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import constants
from tests.models.fake_hub import FakeHub

import stillhouse
from stillhouse.cli.show import show_check
from stillhouse.core.errors import HubUnreachableError, InputError, ModelError, UsageError
from stillhouse.data.assumed_rows import assumed_rows
from stillhouse.recipes.built_in import library_names
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.row_needs import example_row, row_needs
from stillhouse.runner.assuming import planned, require_rows_file
from stillhouse.runner.check import check_recipe
from stillhouse.runner.opening import open_place, open_recipe
from stillhouse.runner.stand_ins import StandIns

WITH_FILES = [name for name in library_names() if load_recipe(name).recipe.collect.source.file]


def checked(name, rows, *overrides, **more):
    loaded, recipe = open_recipe(name, overrides, **more)
    return check_recipe(loaded, recipe, open_place(recipe, "runs", ""), num_rows=rows)


@pytest.mark.parametrize("name", WITH_FILES)
def test_a_missing_file_is_told_with_what_it_must_hold(offline, name):
    loaded = load_recipe(name)

    with pytest.raises(InputError) as error:
        require_rows_file(loaded.recipe, loaded)

    said = str(error.value)
    needs, example = said.splitlines()[1:3]
    assert loaded.recipe.collect.source.file in said
    for need in row_needs(loaded.recipe):
        assert need.column in needs
        assert need.column in json.loads(example.partition("JSON: ")[2])
    assert f"stillhouse recipe copy {name}" in said
    assert said.endswith(f"`stillhouse check {name}` tells the cost before")


def test_a_file_of_ones_own_is_not_told_to_be_copied(offline):
    text = load_recipe("accounting-qa").text
    Path("mine.yaml").write_text(text)
    loaded = load_recipe("mine.yaml")

    with pytest.raises(InputError) as error:
        require_rows_file(loaded.recipe, loaded)
    assert "recipe copy" not in str(error.value)
    assert "stillhouse check mine.yaml --rows 6000" in str(error.value)


def test_columns_are_named_as_the_file_has_them():
    recipe = load_recipe("accounting-qa").recipe
    assert [(one.name, one.column) for one in row_needs(recipe)][:2] == [
        ("question", "Question"),
        ("answer", "Answer"),
    ]
    assert set(next(assumed_rows(recipe, 1))) == set(recipe.collect.columns.values())


def test_columns_that_a_step_makes_are_not_asked_for():
    recipe = load_recipe("prompt-transform").recipe
    assert "context" in (recipe.prepare.user or "")
    assert "context" not in [one.name for one in row_needs(recipe)]


@pytest.mark.parametrize("name", WITH_FILES)
def test_an_example_row_fits_what_is_measured(name):
    recipe = load_recipe(name).recipe
    rows = [example_row(recipe, number) for number in range(5)]

    answers = [row[recipe.prepare.answer] for row in rows if recipe.prepare.answer]
    if recipe.prepare.answer_format == "json":
        assert all(set(recipe.evaluate.fields) <= set(one) for one in answers)
    if recipe.domains:
        assert {row[recipe.prepare.domain_field] for row in rows} <= set(recipe.domains)


def test_a_built_in_recipe_is_planned_as_shipped_and_then_told_what_it_waits_for(offline, capsys):
    found = checked("neurons", 0)

    assert sum(found.parts.values()) == load_recipe("neurons").recipe.collect.planned_rows == 600
    assert found.assumed[0].startswith("600 rows in the place of data/neurons.jsonl")
    show_check(found, as_json=False)
    plan = capsys.readouterr().out
    for word in ("train@student", "assumed: 600 rows", "corrected: student.hub: Qwen/Qwen2.5-1.5B"):
        assert word in plan
    with pytest.raises(UsageError, match=r"no file .*neurons\.jsonl") as error:
        found.refuse_what_stands_in_the_way()
    assert error.value.exit_code == 2
    assert "each of its rows holds: prompt" in error.value.message
    assert "stillhouse recipe copy neurons" in error.value.hint


def test_a_run_never_takes_assumed_rows(offline):
    with pytest.raises(InputError, match="no file"):
        stillhouse.run("neurons", stillhouse.Call(runs="runs"))
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("recipe", "change"),
    [
        ("mine.yaml", "collect.limit=9"),
        ("neurons", "collect.source.file=data/neuron.jsonl"),
        ("neurons", "collect={source: {file: data/neuron.jsonl}, planned_rows: 9}"),
    ],
)
def test_a_file_of_ones_own_that_is_not_there_is_an_error_at_once(offline, recipe, change):
    Path("mine.yaml").write_text(load_recipe("neurons").text)
    with pytest.raises(InputError, match=r"no file .*data/neurons?\.jsonl"):
        checked(recipe, 0, change)


def test_a_plan_needs_neither_rows_nor_hub(offline):
    found = checked("neurons", 300)
    assert not found.missing

    assert found.parts == {"holdout": 30, "unlabelled": 240, "validation": 30}
    label = next(one for one in found.instances if one.key == "label")
    assert label.cost.memory_bytes > 10e9  # seven billion weights
    rows, teacher, student = found.assumed
    assert rows.startswith("300 rows in the place of data/neurons.jsonl: 12 words a column, 40")
    assert teacher.startswith("Qwen/Qwen2.5-7B-Instruct: not from the hub")
    assert student.startswith("Qwen/Qwen2.5-1.5B-Instruct: not from the hub")
    assert found.terms.startswith("apache-2.0")
    assert not Path("runs").exists()


@pytest.mark.long
@pytest.mark.parametrize("name", library_names())
def test_every_full_recipe_is_planned_without_rows_and_hub(offline, name):
    found = checked(name, 0)

    assert bool(found.missing) == (name in WITH_FILES)
    assert bool(found.corrected) == (name != "quickstart")
    assert {"train@student", "export", "register"} <= {one.key for one in found.instances}
    assert all(one.cost.memory_bytes > 0 for one in found.instances)


JOIN = {"name": "join", "file": "a.jsonl", "on": ["title", "artist"], "take": ["analysis"]}


def records_of(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_a_file_that_is_joined_is_assumed_with_its_rows(offline):
    loaded, recipe = open_recipe("songs-sft", [f"prepare.steps={json.dumps([JOIN])}"])

    with planned(loaded, recipe, 30) as plan:
        rows = records_of(plan.recipe.collect.source.file)
        records = records_of(plan.recipe.prepare.steps[0].file)

    assert plan.notes[1] == "a record of each row in the place of a.jsonl"
    names = [[(one["title"], one["artist"]) for one in each] for each in (rows, records)]
    assert names[0] == names[1]
    assert "analysis" not in rows[0]
    assert set(records[0]["analysis"]) >= {"verdict", "score", "themes"}


def test_whoever_annotates_the_rest_is_priced_for_all(offline):
    api = {"kind": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1",
           "price": {"input": "1", "output": "2"}}  # fmt: skip
    annotate = {
        "name": "annotate", "as": "analysis", "fields": ["title", "lyrics"], "task": "Judge it.",
        "answer_schema": load_recipe("songs-sft").recipe.label.answer_schema,
        "engine": {"api": api},
    }  # fmt: skip
    steps = [JOIN | {"unmatched": "keep"}, annotate]

    source = "collect={source: {file: songs.jsonl}}"
    changes = (source, "prepare.reference=null", f"prepare.steps={json.dumps(steps)}")
    found = checked("songs-sft", 24, *changes, profile="tiny")

    assert "a record of no row in the place of a.jsonl" in found.assumed
    cost = next(one.cost for one in found.instances if one.key == "step@annotate")
    assert cost.calls == 24
    assert 0 < cost.likely_usd < cost.most_usd


def test_more_rows_than_are_looked_at_are_scaled(offline, monkeypatch):
    monkeypatch.setattr("stillhouse.runner.assuming._MOST_MADE", 200)
    few, many = (checked("neurons", rows) for rows in (200, 600))

    tokens = [
        next(item.cost.tokens for item in one.instances if item.key == "label")
        for one in (few, many)
    ]
    assert many.parts["unlabelled"] == 3 * few.parts["unlabelled"] == 480
    assert tokens[1] == pytest.approx(3 * tokens[0], rel=0.01)
    parts = "prepare.split.parts={unlabelled: rest, validation: 60, holdout: 30}"
    counted = checked("neurons", 600, parts).parts
    assert counted == {"unlabelled": 510, "validation": 60, "holdout": 30}


def test_a_model_that_nobody_knows_is_refused_where_the_hub_is_not_there(offline):
    with pytest.raises(ModelError, match="nothing is known of its size") as error:
        checked("neurons", 300, "teacher.hub=lab/unknown", "teacher.revision=")
    assert "HF_HUB_OFFLINE" in str(error.value)


def test_a_hub_that_answers_is_asked(offline, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with FakeHub({}) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        with pytest.raises(ModelError, match="the hub has no model") as error:
            checked("neurons", 300)
    assert not isinstance(error.value, HubUnreachableError)


@pytest.mark.parametrize(
    ("recipe", "said"), [("quickstart", "makes or collects its own"), ("mine.yaml", "is\n")]
)
def test_rows_are_assumed_only_where_there_are_none(offline, recipe, said):
    Path("mine.yaml").write_text(load_recipe("neurons").text)
    Path("data").mkdir()
    Path("data/neurons.jsonl").write_text('{"prompt": "a", "answer": "b", "domain": "task"}\n')
    with pytest.raises(UsageError, match=said):
        checked(recipe, 100)


def test_two_families_of_tokenizers_stay_two(offline):
    loaded, recipe = open_recipe("neurons")
    with planned(loaded, recipe, 50) as plan:
        folders = [
            plan.stand_ins.model(hub_id, "", HubUnreachableError("not there"))
            for hub_id in ("Qwen/Qwen3-8B", "Qwen/Qwen3-4B", "openai/gpt-oss-20b")
        ]
        texts = [(one / "tokenizer.json").read_text() for one in folders]
    assert texts[0] == texts[1] != texts[2]
    assert not any(one.exists() for one in folders)


def test_a_note_is_made_once(tmp_path):
    made = StandIns(tmp_path)
    for _ in range(2):
        made.model("Qwen/Qwen3-8B", "", HubUnreachableError("not there"))
    assert len(made.notes) == 1
