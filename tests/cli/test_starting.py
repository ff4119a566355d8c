"""`stillhouse init`: a look at rows of any form, and a recipe that loads and can be checked."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from stillhouse.core.errors import InputError, UsageError
from stillhouse.recipes.built import not_built
from stillhouse.recipes.built_in import library_names
from stillhouse.recipes.cards import Card
from stillhouse.recipes.compute import Host
from stillhouse.recipes.first_recipe import SCHEMA_LINE, Wishes
from stillhouse.recipes.load import load_recipe, read_recipe_text
from stillhouse.runner.starting import (
    look_at,
    models_for,
    name_of,
    schema_for_editors,
    write_first_recipe,
)

CLASSES = ("größe", "versand", "zahlung")


def rows(number=60):
    return [
        {"id": str(i), "Frage": f"Wo bleibt „{i}“? {'ß' * (i % 7)}", "category": CLASSES[i % 3]}
        for i in range(number)
    ]


@pytest.fixture(params=["csv", "jsonl", "parquet"])
def file(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"rows.{request.param}"
    if request.param == "csv":
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, rows()[0])
            writer.writeheader()
            writer.writerows(rows())
    elif request.param == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    else:
        pq.write_table(pa.Table.from_pylist(rows()), path)
    return path


def test_columns_are_guessed_whatever_the_form(file):
    looked = look_at(file)
    assert (looked.columns, looked.prompt, looked.answer) == (
        ("id", "Frage", "category"), "Frage", "category",
    )  # fmt: skip
    assert (looked.answers("category"), looked.classes("category")) == ("classes", CLASSES)
    assert looked.answers("Frage") == "text"


def test_every_class_of_the_file_is_named_also_one_that_comes_late(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [f"q {i},{'late' if i > 2100 else 'ab'[i % 2]}" for i in range(2300)]
    Path("rows.csv").write_text("\n".join(["question,label", *lines]))
    assert called("init", "--rows", "rows.csv", "--yes")[0] == 0
    assert load_recipe("recipe.yaml").recipe.evaluate.fields["answer"].classes == ("a", "b", "late")


def test_classes_that_are_said_to_be_some_are_taken_however_many(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps({"question": f"q {i}", "label": i % 40}) for i in range(80)]
    Path("rows.jsonl").write_text("\n".join(lines))
    assert called("init", "--rows", "rows.jsonl", "--answers", "classes", "--yes")[0] == 0
    assert len(load_recipe("recipe.yaml").recipe.evaluate.fields["answer"].classes) == 40


def test_a_recipe_is_written_that_check_accepts(called, file):
    assert called("init", "--rows", file.name, "--yes")[:2] == (0, "recipe.yaml\n")

    loaded = load_recipe("recipe.yaml")
    assert not_built(loaded.recipe) == []
    assert loaded.recipe.prepare.user == "{Frage}"
    assert loaded.recipe.evaluate.fields["answer"].classes == CLASSES
    assert loaded.text.startswith(SCHEMA_LINE)
    code, out, err = called("check", "recipe.yaml")
    assert (code, err) == (0, "")
    assert "examples: holdout 9, labelled 45, validation 6" in out


def test_nothing_is_overwritten(called, file):
    Path("recipe.yaml").write_text("mine")
    code, out, err = called("init", "--rows", file.name, "--yes")
    assert (code, out) == (2, "")
    assert "recipe.yaml exists" in err
    assert Path("recipe.yaml").read_text() == "mine"


def test_questions_are_asked_and_their_guesses_can_be_taken(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text(
        "".join(json.dumps({"q": f"{i} and 1?", "a": str(i + 1)}) + "\n" for i in range(30))
    )
    said = iter(["rows.jsonl", "Sum: {q}", "a", "text", "scratch", "scratch"])
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(said))

    assert called("init", "sums.yaml")[0] == 0
    recipe = load_recipe("sums.yaml").recipe
    assert (recipe.name, recipe.prepare.user, recipe.prepare.answer) == ("sums", "Sum: {q}", "a")
    assert called("check", "sums.yaml")[0] == 0


def test_where_nobody_can_answer_the_question_is_told_with_what_to_do(called, file, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, _, err = called("init", "--rows", file.name)
    assert code == 2
    assert "nobody to answer: What is asked?" in err
    assert "--yes" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--yes"], "no file of rows is named"),
        (["--rows", "none.csv", "--yes"], "no file"),
        (["--rows", "empty.csv", "--yes"], "empty (0 bytes)"),
        (["--rows", "header.csv", "--yes"], "only a header"),
        (["--rows", "two.csv", "--yes"], "no column looks like the answer"),
        (["--rows", "two.csv", "--answer", "bb", "--yes"], 'no column "bb"'),
        (["--rows", "two.csv", "--answer", "b", "--user", "{c}", "--yes"], 'no column "c"'),
        (["--rows", "two.csv", "--answer", "b", "--user", "hello", "--yes"], "names no column"),
        (["--rows", "two.csv", "--answer", "b", "--user", "{b}", "--yes"], "which is the answer"),
        (
            ["--rows", "two.csv", "--answer", "b", "--answers", "classes", "--yes"],
            "1 different ones",
        ),
        (["--rows", "two.csv", "--answer", "b", "--teacher", "opnai:x", "--yes"], '"openai"?'),
        (["--rows", "two.csv", "--answer", "b", "--teacher", "openai:", "--yes"], "no model"),
        (["--rows", "two.csv", "--answer", "b", "--student", "openai:x", "--yes"], "be trained"),
        (["deep/er.yaml", "--rows", "two.csv", "--answer", "b", "--yes"], "no folder"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_a_recipe_is_refused_and_nothing_is_written(
    called, tmp_path, monkeypatch, words, said
):
    monkeypatch.chdir(tmp_path)
    Path("empty.csv").write_text("")
    Path("header.csv").write_text("question,answer\n")
    Path("two.csv").write_text("a,b\nx,y\n")
    before = sorted(path.name for path in tmp_path.iterdir())

    code, out, err = called("init", *words)

    assert (code, out) == (2, "")
    assert said in err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("teacher", "student", "network"),
    [
        ("scratch", "scratch", "none"),
        ("Qwen/Qwen3-4B", "Qwen/Qwen3-0.6B", "hub"),
        ("ollama:llama3.2:3b", "scratch", "none"),
        ("openai:gpt-5", "scratch", ("api.openai.com",)),
    ],
)
def test_every_kind_of_teacher_gives_a_valid_recipe(tmp_path, teacher, student, network):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    wishes = Wishes(
        "mine", "rows.jsonl", "{Frage}", "category", "classes", CLASSES, teacher, student
    )
    write_first_recipe(wishes, look_at(file), tmp_path / "mine.yaml")

    recipe = load_recipe(str(tmp_path / "mine.yaml")).recipe
    assert recipe.network == network
    assert not_built(recipe) == []
    assert list(tmp_path.glob(".*")) == []


def test_answers_in_json_are_measured_as_json(tmp_path):
    file = tmp_path / "rows.jsonl"
    line = {"text": "a", "answer": {"verdict": "yes"}}
    file.write_text(json.dumps(line) + "\n")
    assert look_at(file).answers("answer") == "json"


def test_a_model_is_taken_that_the_machine_can_train():
    card = Card(0, "a card", 85_000_000_000, 84_000_000_000, (9, 0))
    assert models_for(Host(8, 1 << 36)) == ("scratch", "scratch")
    assert models_for(Host(8, 1 << 36, cards=(card,)))[0] == "Qwen/Qwen3-8B"


def test_a_name_is_made_of_any_file():
    assert [name_of(Path(one)) for one in ("Größe 1.yaml", "_.yaml")] == ["gr-e-1", "mine"]


def test_rows_without_a_text_have_no_prompt(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"x": 1, "answer": "a"}\n')
    looked = look_at(file)
    with pytest.raises(UsageError, match="names no column"):
        write_first_recipe(Wishes("m", "rows.jsonl", "", "answer"), looked, tmp_path / "m.yaml")


def test_a_file_of_another_form_is_refused(tmp_path):
    (tmp_path / "rows.xyz").write_text("a")
    with pytest.raises(InputError):
        look_at(tmp_path / "rows.xyz")


@pytest.mark.parametrize("name", library_names())
def test_the_schema_for_editors_takes_every_built_in_recipe(name):
    schema = json.loads(Path(schema_for_editors()).read_text())
    plain = YAML(typ="safe", pure=True).load(read_recipe_text(name)[0])
    jsonschema.validate(plain, schema)
    wrong = plain | {"trian": {}}
    with pytest.raises(jsonschema.ValidationError, match="trian"):
        jsonschema.validate(wrong, schema)
