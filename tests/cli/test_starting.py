"""`stillhouse init`: a look at rows of any form, and a recipe that loads and can be checked."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

import stillhouse
from stillhouse.core.errors import InputError, UsageError
from stillhouse.data.columns import select_columns
from stillhouse.data.conversations import build_shaper
from stillhouse.data.readers import read_rows
from stillhouse.recipes.built import not_built
from stillhouse.recipes.built_in import library_names
from stillhouse.recipes.cards import Card
from stillhouse.recipes.compute import Host
from stillhouse.recipes.first_recipe import SCHEMA_LINE, Wishes, first_recipe
from stillhouse.recipes.load import load_recipe, read_recipe_text
from stillhouse.runner.looking import encoding_of, look_at
from stillhouse.runner.starting import (
    SCHEMA_FILE,
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
        ("id", "Frage", "category"), "{Frage}", "category",
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
    assert loaded.recipe.name == "rows"
    assert loaded.text.startswith(f"{SCHEMA_LINE}{SCHEMA_FILE}\n")
    assert Path(SCHEMA_FILE).read_text() == schema_for_editors()
    assert str(Path.cwd()) not in loaded.text
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


def test_a_wrong_answer_is_asked_again_with_its_mend(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("".join(f"{line}\n" for line in ("q,a", *["what,yes"] * 30)))
    said = ["none.csv", "rows.csv", "{p}", "{q}", "q", "a", "class", "text", "opnai:x", "scratch",
            "quen", "scratch"]  # fmt: skip
    left = iter(said)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(left))

    code, _, err = called("init", "sums.yaml")

    assert (code, list(left)) == (0, [])
    for mend in ("no file", 'no column "p"', "which is the answer", 'did you mean "classes"?',
                 'did you mean "openai"?', "a hub id is OWNER/NAME"):  # fmt: skip
        assert mend in err


def test_a_teacher_that_knows_no_answer_is_asked_again(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("q\nwhat\n")
    said = ["rows.csv", "{q}", "none", "text", "scratch", "ollama:llama3.2:3b", "scratch"]
    left = iter(said)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(left))

    code, _, err = called("init", "asked.yaml")

    assert (code, list(left)) == (0, [])
    assert "a teacher of random weights knows none" in err
    assert "nobody but the teacher answers" in err
    assert load_recipe("asked.yaml").recipe.evaluate.reference == "teacher"


@pytest.mark.parametrize(
    ("encoding", "written"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("utf-32", "utf-32"),
     ("cp1252", "cp1252")],
)  # fmt: skip
def test_the_encoding_is_found_out_told_and_written(
    called, tmp_path, monkeypatch, encoding, written
):
    monkeypatch.chdir(tmp_path)
    lines = [f"Wo ist die größte Filiale {i}?,{'Straße' if i % 2 else 'Karte'}" for i in range(40)]
    Path("rows.csv").write_text("\n".join(["text,label", *lines]), encoding=encoding)

    code, _, err = called("init", "--rows", "rows.csv", "--yes")

    assert (code, encoding_of(Path("rows.csv"))) == (0, written)
    assert load_recipe("recipe.yaml").recipe.collect.source.encoding == written
    assert (f'read as {written}, which gives words such as "größte"' in err) == (written != "utf-8")
    assert called("check", "recipe.yaml")[0] == 0


def test_an_encoding_that_is_said_is_taken(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_bytes("text,label\nсъешь ещё,да\n".encode("cp1251"))
    assert called("init", "--rows", "rows.csv", "--reading", "encoding=cp1251", "--yes")[0] == 0
    assert load_recipe("recipe.yaml").recipe.collect.source.encoding == "cp1251"
    code, _, err = called("init", "x.yaml", "--rows", "rows.csv", "--reading", "enc=a", "--yes")
    assert (code, "--reading enc: no such key" in err) == (2, True)


def test_a_list_inside_of_a_file_is_named_in_the_words_of_the_command(
    called, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("rows.json").write_text(json.dumps({"data": [{"question": "a", "answer": "b"}] * 30}))
    code, _, err = called("init", "--rows", "rows.json", "--yes")
    assert (code, "name one with --reading records=; lists stand at: data" in err) == (2, True)
    assert called("init", "--rows", "rows.json", "--reading", "records=data", "--yes")[0] == 0
    assert load_recipe("recipe.yaml").recipe.collect.source.records == "data"


@pytest.mark.parametrize(
    ("shape", "column", "keys", "roles"),
    [
        ("messages", "messages", ("role", "content"), ("user", "assistant")),
        ("messages", "talk", ("role", "content"), ("user", "assistant")),
        ("sharegpt", "conversations", ("from", "value"), ("human", "gpt")),
    ],
)
def test_conversations_are_known_by_their_turns(
    called, tmp_path, monkeypatch, shape, column, keys, roles
):
    monkeypatch.chdir(tmp_path)
    turns = [[dict(zip(keys, (role, f"{role} {i}"), strict=True)) for role in roles]
             for i in range(40)]  # fmt: skip
    Path("rows.jsonl").write_text("".join(json.dumps({column: one}) + "\n" for one in turns))

    assert called("init", "--rows", "rows.jsonl", "--yes")[0] == 0

    prepare = load_recipe("recipe.yaml").recipe.prepare
    assert (prepare.shape, prepare.conversation) == (shape, column)
    assert "examples: holdout 6, labelled 30, validation 4" in called("check", "recipe.yaml")[1]


def test_columns_that_belong_together_are_asked_together(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"instruction": "a", "input": "b", "output": "c"}) + "\n")
    assert look_at(file).prompt == "{instruction}\n{input}"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"question": "a", "answer": ["b", "c"]}], "collect.columns: {question: question, answer"),
        ([{"question": "a", "answer": "b"}, {"question": "c"}], 'have no "answer" at all'),
        ([{"question": "a", "answer": "b"}, {"question": "c", "answer": ""}], "and are left out"),
        ([{"question": "a", "answer": "b", "options": "x"}], "no model will see: options"),
        ([{"question": "a", "answer": "b"}], "1 rows are few"),
    ],
)
def test_what_is_doubtful_about_rows_is_told(called, tmp_path, monkeypatch, rows, said):
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, err = called("init", "--rows", "rows.jsonl", "--yes")
    assert (code, said in err) == (0, True), err


def test_a_first_line_that_is_no_line_of_names_is_told(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("rows.tsv").write_text("0\tblue berries\n1\tthe rain\n")
    assert "write a line of names above it" in called("init", "--rows", "rows.tsv", "--yes")[2]


def test_many_rows_give_a_first_look_and_not_a_day(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [f"question {i},answer {i}" for i in range(31_000)]
    Path("rows.csv").write_text("\n".join(["q,a", *lines]))
    assert called("init", "--rows", "rows.csv", "--answer", "a", "--yes")[0] == 0
    recipe = load_recipe("recipe.yaml").recipe
    shares = recipe.prepare.split.parts
    assert {name: round(share * 31_000, -2) for name, share in shares.items()} == {
        "labelled": 16_000, "validation": 500, "holdout": 1000,
    }  # fmt: skip
    told = called("check", "recipe.yaml")[1]  # which looks at 20,000 of the rows
    assert re.search(r"examples: holdout 1,0\d\d|examples: holdout 99\d", told), told
    assert recipe.train.length.num_steps(16000) == 1000


def test_many_classes_stand_in_lines_that_an_editor_shows_whole(tmp_path):
    classes = tuple(f"a class of some length {i}" for i in range(40))
    text = first_recipe(Wishes("m", "rows.csv", "{q}", "a", "classes", classes))
    target = tmp_path / "m.yaml"
    target.write_text(text)
    assert load_recipe(str(target)).recipe.evaluate.fields["answer"].classes == classes
    assert max(map(len, text.splitlines())) <= 100


def test_a_column_that_cannot_stand_in_braces_gets_another_name(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = {"Q: en": "What is meant by it?", "How [price]": "dear", "Q_en": "x", "answer": "no"}
    Path("rows.jsonl").write_text("".join(
        json.dumps({**asked, "Q: en": f"What is meant by {n}?"}) + "\n" for n in range(60)
    ))  # fmt: skip

    called("init", "r.yaml", "--rows", "rows.jsonl", "--yes",
           "--user", "{Q: en} {Q_en} {How [price]}")  # fmt: skip

    recipe = load_recipe("r.yaml").recipe
    assert recipe.prepare.user == "{Q_en} {Q_en_} {How_price}"
    first = next(read_rows(recipe.collect.source, tmp_path))
    draft = build_shaper(recipe.prepare)(select_columns(first, recipe.collect.columns))
    assert (draft.prompt[-1].content, draft.answer) == ("What is meant by 0? x dear", "no")


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
        (["--rows", "two.csv", "--reading", "format=cvs", "--yes"], "--reading format=auto, csv"),
        (["--rows", "two.csv", "--reading", "encoding", "--yes"], "it says nothing"),
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


def test_the_schema_can_be_had_for_a_recipe_that_is_there(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(SCHEMA_FILE).write_text("of an older version")
    code, out, err = called("recipe", "schema")
    assert (code, out) == (0, f"{SCHEMA_FILE}\n")
    assert err.endswith(f"{SCHEMA_LINE}{SCHEMA_FILE}\n")
    assert Path(SCHEMA_FILE).read_text() == schema_for_editors()


def test_python_writes_the_same_recipe(called, file):
    assert called("init", "cli.yaml", "--rows", file.name, "--yes")[0] == 0
    wishes = stillhouse.init(file.name, "api.yaml")
    assert wishes.classes == CLASSES
    texts = [Path(name).read_text() for name in ("cli.yaml", "api.yaml")]
    assert texts[0].replace('"cli"', '"api"') == texts[1]


@pytest.mark.parametrize("name", library_names())
def test_the_schema_for_editors_takes_every_built_in_recipe(name):
    schema = json.loads(schema_for_editors())
    plain = YAML(typ="safe", pure=True).load(read_recipe_text(name)[0])
    jsonschema.validate(plain, schema)
    wrong = plain | {"trian": {}}
    with pytest.raises(jsonschema.ValidationError, match="trian"):
        jsonschema.validate(wrong, schema)
