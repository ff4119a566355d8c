import csv
from dataclasses import replace

import pytest
from pydantic import ValidationError

from stillhouse.core.rows import Drop, Keep, Row
from stillhouse.data import shards
from stillhouse.data.account import run_step
from stillhouse.data.csv_copies import write_csv
from stillhouse.data.duplicate_classes import (
    ReportDuplicatesStep,
    iterate_duplicates,
    normalised,
)
from stillhouse.data.execution import Inline, run_sharded
from stillhouse.data.readers import build_rows
from stillhouse.data.require import RequireStep
from stillhouse.data.shards import write_shards
from stillhouse.recipes.row_checks import DUPLICATES, ReportDuplicates, Require

WANTED = Require(
    fields={"question": "text", "year": "integer", "tags": "list"}, may_be_empty=("tags",)
)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"question": "a", "year": 7}, ""),
        ({"question": "a", "year": " 1999 ", "tags": None}, ""),
        ({"question": "a", "year": 7.0, "tags": ["b"]}, ""),
        ({"year": 7}, "question is missing"),
        ({"question": None, "year": 7}, "question is empty"),
        ({"question": " \n", "year": 7}, "question is empty"),
        ({"question": 3, "year": 7}, "question is no text"),
        ({"question": "a", "year": "7.5"}, "year is no integer"),
        ({"question": "a", "year": 7.5}, "year is no integer"),
        ({"question": "a", "year": True}, "year is no integer"),
        ({"question": "a", "year": 1, "tags": "b"}, "tags is no list"),
    ],
)
def test_a_row_is_held_to_its_fields(fields, reason):
    (outcome,) = RequireStep(WANTED).process([Row("a", fields, "a:1")])

    assert (outcome.reason if isinstance(outcome, Drop) else "") == reason
    assert isinstance(outcome, Drop if reason else Keep)


def test_a_path_reaches_inside_a_field():
    step = RequireStep(Require(fields={"a.b": "list"}))

    kept, ended, _ = run_step(step, [Row("x", {"a": {"b": [1]}}, ""), Row("y", {"a": {}}, "")])
    assert [row.row_id for row in kept] == ["x"]
    assert [one.reason for one in ended] == ["a.b is missing"]


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("number", [1, 2.5, "1e3", "-.5"], [True, "1,5", "x", []]),
        ("integer", [1, 10**400, 2.0], [1.5, "1.0"]),
        ("boolean", [True, "False"], ["yes", 1, 0]),
        ("object", [{}, {"a": 1}], ["a", []]),
        ("any", [1, "a", []], []),
    ],
)
def test_types_of_fields(kind, right, wrong):
    step = RequireStep(Require(fields={"a": kind}))

    rows = [Row(str(place), {"a": value}, "") for place, value in enumerate([*right, *wrong])]
    kept, ended, _ = run_step(step, rows)
    assert [row.fields["a"] for row in kept] == right
    assert [one.row.fields["a"] for one in ended] == wrong


PAIRS = [
    ("What is 5 - 3?", "2"),
    ("What is 5 + 3?", "8"),
    ("what is  5 + 3 ?", "8."),
    ("What is 5 + 3", "eight"),
    ("Four and four is", "8"),
    ("Alone", "nobody"),
    ("Unanswered", None),
    ("unanswered", None),
    (None, "8"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_ROWS", 2)
    records = (
        (f"t:{place}", {"question": asked, "answer": said})
        for place, (asked, said) in enumerate(PAIRS)
    )
    write_shards(tmp_path / "in", build_rows(records), len(PAIRS))
    return tmp_path / "in"


def naive_groups(kind):
    """Places of the rows of each group, by comparing every row with every other."""
    texts = [tuple(map(normalised, one)) if all(one) else None for one in PAIRS]

    def belongs(one, other):
        same = [mine == theirs for mine, theirs in zip(one, other, strict=True)]
        return {
            "exact_duplicates": all(same),
            "same_question": same[0] and not same[1],
            "same_answer": same[1] and not same[0],
        }[kind]

    return {
        place
        for place, one in enumerate(texts)
        for other_place, other in enumerate(texts)
        if place != other_place and one and other and belongs(one, other)
    }


@pytest.mark.parametrize("kind", DUPLICATES)
def test_rows_that_repeat_others_are_found(folder, kind):
    found = list(iterate_duplicates(folder, ReportDuplicates(), kind))

    places = {int(row.provenance[2:]) for _, row in found}
    assert places == naive_groups(kind)
    groups = {}
    for group, row in found:
        groups.setdefault(group, []).append(row.row_id)
    assert all(ids == sorted(ids) and ids[0] == group for group, ids in groups.items())


def test_repetitions_are_counted_and_nothing_is_dropped(folder, tmp_path):
    step = ReportDuplicatesStep(ReportDuplicates())

    count = run_sharded(step, folder, tmp_path / "out", Inline())

    assert (count.rows_in, count.rows_out, count.changed) == (len(PAIRS), len(PAIRS), 0)
    assert (
        count.notes
        == {kind.replace("_", " "): len(naive_groups(kind)) for kind in DUPLICATES}
        == {"exact duplicates": 2, "same question": 3, "same answer": 3}
    )


def test_no_rows_repeat_nothing(tmp_path):
    write_shards(tmp_path / "in", [], 0)

    assert list(iterate_duplicates(tmp_path / "in", ReportDuplicates(), "same_answer")) == []


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_csv_holds_what_rows_hold(tmp_path):
    long = "a" * 10_000_000
    texts = [
        'quote " and, comma',
        "line\nline\r\nline",
        "\u732b \U0001f63a",
        "",
        long,
        "-5",
        "+3.5%",
    ]
    rows = [Row(str(place), {"text": text}, "t") for place, text in enumerate(texts)]

    number = write_csv(
        tmp_path / "a.csv", ["id"], lambda: [({"id": row.row_id}, row) for row in rows]
    )

    read = read_csv(tmp_path / "a.csv")
    assert number == len(texts)
    assert [one["text"] for one in read] == texts
    assert [one["id"] for one in read] == [row.row_id for row in rows]
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_taken_for_a_formula(tmp_path, text):
    row = Row("a", {text: text}, "t")

    write_csv(tmp_path / "a.csv", [], lambda: [({}, row)])

    assert read_csv(tmp_path / "a.csv") == [{f"'{text}": f"'{text}"}]


def test_csv_of_rows_with_other_fields_has_them_all(tmp_path):
    row = Row("a", {"step": "own", "n": 1, "flag": True, "list": [1, "\u00e9"]}, "t")
    other = replace(row, fields={"only": None, "torn": "\ud83d"})

    write_csv(tmp_path / "a.csv", ["step"], lambda: [({"step": "clean"}, row), ({}, other)])

    first, second = read_csv(tmp_path / "a.csv")
    assert first == {
        "step": "clean", "field step": "own", "n": "1", "flag": "true", "list": '[1, "\u00e9"]',
        "only": "", "torn": "",
    }  # fmt: skip
    assert (second["step"], second["only"], second["torn"]) == ("", "", "\\ud83d")


def test_a_copy_that_fails_leaves_the_old_one(tmp_path):
    row = Row("a", {"n": 1}, "t")
    write_csv(tmp_path / "a.csv", [], lambda: [({}, row)])
    before = (tmp_path / "a.csv").read_bytes()
    calls = []

    def torn():
        calls.append(1)
        yield {}, row
        if len(calls) > 1:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        write_csv(tmp_path / "a.csv", [], torn)
    assert (tmp_path / "a.csv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_what_may_be_empty_is_one_of_the_fields():
    with pytest.raises(ValidationError, match="names 'yaer', which is none of fields: year"):
        Require(fields={"year": "integer"}, may_be_empty=("yaer",))
