"""Rows get what they lack: from a file by their names, from an engine, on another scale."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Completion, Defer, Drop, Keep, Row
from stillhouse.core.sampling import Sampling
from stillhouse.data.account import run_step
from stillhouse.data.annotating import NOTHING, AnnotateStep
from stillhouse.data.asking import AskedEngine
from stillhouse.data.joining import UNMATCHED, JoinStep
from stillhouse.data.paths import find, put
from stillhouse.data.rescaling import RescaleStep
from stillhouse.data.step_files import digest_step_file
from stillhouse.recipes.field_steps import Annotate, Join, Rescale

ENGINE = {"api": {"kind": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1"}}
SCHEMA = {
    "type": "object",
    "required": ["verdict", "score"],
    "properties": {"verdict": {"enum": ["yes", "no"]}, "score": {"type": "number", "maximum": 100}},
}


def row(number, **fields):
    return Row(f"{number:02}", fields, f"rows.jsonl:{number}")


@pytest.fixture
def joined(tmp_path):
    """A step that joins with a file of these records."""

    def build(records, **wanted):
        path = tmp_path / "said.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in records))
        plain = {"file": str(path), "on": ["title", "artist"], "take": ["analysis"], **wanted}
        step = Join.model_validate(plain, strict=False)
        return JoinStep(step, digest_step_file(step, tmp_path))

    return build


SAID = [
    {"title": "Amazing  GRACE", "artist": "John Newton", "analysis": {"score": 90}},
    {"title": "Ode", "artist": "Schiller", "analysis": {"score": 40}},
    {"title": "Nobody's", "artist": "Nobody", "analysis": None},
]
SONGS = [
    row(1, title="Amazing Grace", artist="john newton"),
    row(2, title="Ode", artist="Schiller"),
    row(3, title="Ode", artist="Ｓchiller "),  # a letter of another width
    row(4, title="Ode", artist="Horace"),
    row(5, title="", artist="Schiller"),
]


def test_a_row_gets_what_the_file_says_under_its_name(joined):
    step = joined(SAID)

    kept, ended, count = run_step(step, SONGS)

    assert [one.fields["analysis"]["score"] for one in kept] == [90, 40, 40]
    assert [(one.row.row_id, one.reason) for one in ended] == [("04", UNMATCHED), ("05", UNMATCHED)]
    assert count.balances
    assert step.tell(kept) == {
        "joined with said.jsonl": {
            "records of the file": 3,
            "rows with a record": 3,
            "rows that are kept without one": 0,
            "records of no row": 1,
        }
    }


def test_a_row_of_which_the_file_says_nothing_may_go_on_without(joined):
    step = joined(SAID, unmatched="keep")

    kept, _, count = run_step(step, SONGS)

    assert ["analysis" in one.fields for one in kept] == [True, True, True, False, False]
    assert count.notes == {UNMATCHED: 2}
    (table,) = step.tell(kept).values()
    assert table["rows that are kept without one"] == 2


def test_rows_that_stand_in_for_others_can_be_looked_at(joined):
    rows = [row(n, title=f"Stand-in {n}", artist="Nobody 1") for n in range(5)]

    taken, _, _ = run_step(replace(joined(SAID), takes_any=True), rows)
    asked, _, _ = run_step(replace(joined(SAID, unmatched="keep"), takes_any=True), rows)

    assert [one.fields["analysis"] for one in taken[:2]] == [{"score": 90}, {"score": 40}]
    assert not any("analysis" in one.fields for one in asked)


def test_a_file_may_call_its_fields_otherwise(joined):
    said = [{"song": {"name": "Ode", "by": "Schiller"}, "final": "no"}]
    names = {"on": {"title": "song.name", "artist": "song.by"}, "take": {"verdict": "final"}}

    kept, _, _ = run_step(joined(said, **names), SONGS)

    assert [one.fields["verdict"] for one in kept] == ["no", "no"]


@pytest.mark.parametrize("ours", [7, 7.0, "7", " ７"])
@pytest.mark.parametrize("theirs", [7, 7.0, "7"])
def test_a_number_names_the_same_row_however_a_table_writes_it(joined, ours, theirs):
    step = joined([{"id": theirs, "analysis": "said"}], on=["id"])
    kept, ended, _ = run_step(step, [row(1, id=ours), row(2, id=float("nan")), row(3, id=7.5)])
    assert [one.row_id for one in kept] == ["01"]
    assert [one.evidence for one in ended] == ["", "7.5"]


@pytest.mark.parametrize(
    ("records", "rows", "said"),
    [
        ([*SAID, {**SAID[1], "artist": "SCHILLER"}], SONGS, r":4: says again what said\.jsonl:2"),
        ([{"title": "Ode", "analysis": 1}], SONGS, r":1: artist is missing or empty"),
        ([{"title": "Ode", "artist": "S"}], SONGS, r"join\.take names \"analysis\""),
        (SAID, [row(1, title="Ode", artist="x", analysis=1)], "has a field 'analysis' already"),
    ],
)
def test_what_a_join_would_have_to_guess_is_refused(joined, records, rows, said):
    with pytest.raises(InputError, match=said):
        run_step(joined(records), rows)


class Annotator:
    """Says what it is told to, by the title; counts whom it is asked about."""

    def __init__(self, said):
        self.said, self.told = said, []

    def generate(self, examples, sampling):
        for one in examples:
            told = json.loads(one.prompt[-1].content)
            self.told.append(told)
            said = self.said[told["of"]["title"]]
            finish, text = said if isinstance(said, tuple) else ("stop", said)
            reason = text if finish == "error" else ""
            yield Completion(one.example_id, "" if reason else text, finish, 9, reason)


def annotated(said, rows, **more):
    plain = {
        "as": "analysis", "fields": ["title", "lyrics"], "task": "Judge it.",
        "answer_schema": SCHEMA, "engine": ENGINE,
    }  # fmt: skip
    annotator = Annotator(said)
    wanted = Annotate.model_validate(plain, strict=False)
    engine = AskedEngine(annotator, None, Sampling(9, 0.0), frozenset({"budget"}), **more)
    step = AnnotateStep(wanted, engine)
    return step, annotator, [*step.process(rows)]


def test_an_annotation_is_an_object_of_the_form_or_the_row_ends_with_the_reason():
    good = '```json\n{"verdict": "yes", "score": 7}\n```'
    said = {
        "good": good, "torn": good[:20], "other": '{"verdict": "perhaps", "score": 7}',
        "cut": ("length", "{"), "empty": ("error", "empty_answer"), "wait": ("error", "budget"),
    }  # fmt: skip
    rows = [row(n, title=title, lyrics="la", genre="x") for n, title in enumerate(said)]

    step, annotator, outcomes = annotated(said, rows)

    assert outcomes[0] == Keep(
        row(0, title="good", lyrics="la", genre="x", analysis={"verdict": "yes", "score": 7}),
        ("annotated",),
    )
    assert [one.reason for one in outcomes[1:5]] == [
        f"not annotated: {why}" for why in ("wrong_schema", "wrong_schema", "cut", "empty_answer")
    ]
    assert all(isinstance(one, Drop) for one in outcomes[1:5])
    assert outcomes[5] == Defer(rows[5], "budget")
    assert step.engine.used == {"00"}
    assert annotator.told[0] == {"task": "Judge it.", "of": {"title": "good", "lyrics": "la"}}


def test_nobody_is_asked_about_a_row_that_is_annotated_already():
    known = row(1, title="known", analysis={"score": 1})

    _, annotator, outcomes = annotated({"new": '{"verdict": "no", "score": 2}'}, [
        known, row(2, title="new"),
    ])  # fmt: skip

    assert [one["of"]["title"] for one in annotator.told] == ["new"]
    assert outcomes[0] == Keep(known, ("annotated before",))


def test_nobody_is_asked_about_a_row_that_says_nothing():
    empty, half = row(1, title="", lyrics=None, genre="x"), row(2, title="new", lyrics="")

    _, annotator, outcomes = annotated({"new": '{"verdict": "no", "score": 2}'}, [empty, half])

    assert [one["of"] for one in annotator.told] == [{"title": "new"}]
    assert outcomes[0] == Drop(empty, NOTHING, "")
    assert outcomes[1].row.fields["analysis"] == {"verdict": "no", "score": 2}


def test_a_look_at_a_recipe_goes_on_with_objects_of_the_form():
    _, _, (outcome,) = annotated({"new": ("error", "not_asked")}, [row(2, title="new")],
                                 is_real=False)  # fmt: skip
    assert outcome.row.fields["analysis"] == {"verdict": "yes", "score": 0.0}


def test_a_form_that_is_none_of_an_object_is_refused():
    plain = {"fields": ["title"], "task": "x", "engine": ENGINE}
    for schema in ({"type": "array"}, {"type": "object"}, {"type": "objekt", "properties": {}}):
        with pytest.raises(ValidationError):
            Annotate.model_validate({**plain, "answer_schema": schema}, strict=False)


def rescaled(value, scale=(0.0, 1.0), field="analysis.score", **more):
    step = RescaleStep(Rescale(field=field, scale=scale, **more))
    kept, _, count = run_step(step, [row(1, analysis=value)])
    return kept[0].fields["analysis"], count


def test_a_number_is_brought_onto_the_scale_that_is_declared():
    assert rescaled({"score": 0.95, "verdict": "x"})[0] == {"score": 95, "verdict": "x"}
    assert rescaled({"score": 0.57})[0] == {"score": 57}  # the product of floats is not
    assert rescaled({"score": 3}, scale=(1.0, 5.0))[0] == {"score": 50}
    assert rescaled({"score": 50}, scale=(0.0, 100.0), to=(0.0, 1.0))[0] == {"score": 0.5}
    text, count = rescaled('{"score": 0.125, "themes": ["né"]}')
    assert text == '{"score": 12.5, "themes": ["né"]}'
    assert count.changed == 1


@pytest.mark.parametrize(("text", "expected"), [("0.57", "57"), (" 0.125 ", "12.5"), ("1e-2", "1")])
def test_a_number_of_a_table_of_texts_stays_a_text(text, expected):
    assert rescaled(text, field="analysis")[0] == expected


@pytest.mark.parametrize("text", ["", "NaN", "0,57", "half"])
def test_a_text_that_is_no_number_goes_on_and_is_counted(text):
    same, count = rescaled(text, field="analysis")
    assert same == text
    assert count.notes == {"no number at analysis": 1}


@pytest.mark.parametrize(
    "value", [{"score": None}, {"score": True}, {}, "no JSON", "[1]", "[" * 9_999]
)
def test_a_row_without_a_number_goes_on_and_is_counted(value):
    same, count = rescaled(value)
    assert same == value
    assert count.notes == {"no number at analysis.score": 1}


@pytest.mark.parametrize("value", [95, -0.1, 1.01, 10**400])
def test_a_number_off_the_declared_scale_ends_the_run(value):
    with pytest.raises(InputError, match=r"rows\.jsonl:1: analysis\.score is .* from 0 to 1"):
        rescaled({"score": value})


def test_a_scale_has_two_ends_in_order():
    with pytest.raises(ValidationError, match="the first must be smaller"):
        Rescale(field="x", scale=(1.0, 0.0))


values = st.recursive(
    st.integers(0, 9) | st.text("ab.", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.", max_size=3), inner),
    max_leaves=8,
)


@settings(max_examples=30, deadline=None)
@given(values, st.text("ab.0", min_size=1, max_size=6))
def test_what_is_put_is_found_and_nothing_else_changes(value, path):
    before = json.dumps(value)
    found = find(value, path)
    if found is not find({}, "none"):
        changed = put(value, path, "NEW")
        assert find(changed, path) == "NEW"
        assert put(changed, path, found) == value
    assert json.dumps(value) == before
