"""Fields of answers: the unreadable is wrong and counted, what has no reference is left out."""

import json
import re

import numpy as np
import pytest

from stillhouse.core.errors import InputError
from stillhouse.evals.answers import parse_object, score_objects, score_schema
from stillhouse.evals.fields import note_fields, read_field, require_references, score_fields
from stillhouse.evals.metrics import metric_by_name, metrics_of
from stillhouse.evals.scores import Scores
from stillhouse.recipes.answers import AnswerKind

SCORE = AnswerKind(kind="number", low=0.0, high=100.0, within=5.0)
VERDICT = AnswerKind(kind="label", classes=("good", "bad"), positive=("good",))
THEMES = AnswerKind(kind="labels")
WORDS = AnswerKind(kind="text")


def values_of(columns):
    """Every metric of these columns on all examples, each on its scale."""
    length = len(next(iter(columns.values())))
    scores = Scores(tuple(map(str, range(length))), columns)
    found = {}
    for metric in metrics_of(scores):
        value = float(metric.statistic(metric.columns(scores), np.ones((1, length)))[0])
        low, high = metric.bounds or (-np.inf, np.inf)
        assert np.isnan(value) or low - 1e-9 <= value <= high + 1e-9, metric.name
        found[metric.name] = value
    return found


def measure(kinds, said, references, *, as_objects=True):
    return values_of(score_fields(kinds, said, references, as_objects=as_objects))


UNREADABLE = [
    "no JSON",
    "",
    "[]",
    "{}",
    '{"score": null}',
    '{"score": "80"}',
    '{"score": true}',
    '{"score": NaN}',
    '{"score": Infinity}',
    '{"score": 1e400}',
    '{"score": 100.5}',
    '{"score": -1}',
    '{"score": [80]}',
    f'{{"score": {10**400}}}',
    '{"Score": 80}',
    "[" * 5000,
]


@pytest.mark.parametrize("answer", UNREADABLE)
def test_a_number_that_cannot_be_read_is_wrong_and_counted(answer):
    # given one answer that is right and one that cannot be read, of a reference of 80
    found = measure({"score": SCORE}, ['{"score": 80}', answer], ['{"score": 80}'] * 2)
    # then the second counts as 0, the farther end of the scale
    assert found == {
        "unreadable.score": 0.5,
        "mae.score": 40.0,
        "rmse.score": np.sqrt(3200.0),
        "within.score": 0.5,
    }


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (VERDICT, "fine"),
        (VERDICT, ["good"]),
        (VERDICT, 1.5),
        (VERDICT, ""),
        (THEMES, "hope"),
        (THEMES, [["hope"]]),
        (WORDS, 3),
        (WORDS, None),
    ],
)
def test_a_value_of_another_kind_cannot_be_read(kind, value):
    assert read_field("f", kind, [json.dumps({"f": value})], as_objects=True) == [None]


def test_an_example_without_a_reference_leaves_the_denominators():
    # given a right answer, and two to nothing
    said = ['{"score": 80, "verdict": "good"}'] * 2 + ["torn"]
    references = [said[0], None, '{"verdict": null}']
    # when
    columns = score_fields({"score": SCORE, "verdict": VERDICT}, said, references, as_objects=True)
    # then
    assert columns["asked:score"].tolist() == [1, 0, 0]
    assert all(
        not values[1:].any() for name, values in columns.items() if not name.startswith("asked")
    )
    notes = note_fields({"score": SCORE}, said, references, as_objects=True)
    assert notes["unreadable.score"].startswith("2 of 3 references lack score")


def test_a_plain_answer_is_one_field():
    kinds = {"answer": VERDICT}
    found = measure(kinds, ["good ", "bad", "ugly"], ["good"] * 3, as_objects=False)
    assert found["accuracy.answer"] == pytest.approx(1 / 3)
    assert found["unreadable.answer"] == pytest.approx(1 / 3)
    number = {"answer": SCORE}
    assert measure(number, ["80", "nan", "8_0"], ["80"] * 3, as_objects=False)[
        "unreadable.answer"
    ] == pytest.approx(2 / 3)
    themes = {"answer": THEMES}
    assert measure(themes, ['["a","b"]', "a"], ['["b","a"]', '["a"]'], as_objects=False)[
        "subset_accuracy.answer"
    ] == pytest.approx(0.5)


def test_without_declared_classes_a_stranger_to_references_and_positive_side_is_unreadable():
    # given one unsafe reference among six
    kind = AnswerKind(kind="label", positive=("unsafe", "worse"))
    wanted = ["safe"] * 5 + ["unsafe"]
    # when every answer is a stranger, then each counts as the opposite of its reference
    found = measure({"answer": kind}, ["banana"] * 6, wanted, as_objects=False)
    assert found["unreadable.answer"] == found["false_positive_rate.answer"] == 1.0
    assert found["false_negative_rate.answer"] == 1.0
    # and a positive class that no reference has can be read
    found = measure({"answer": kind}, ["worse"] * 6, wanted, as_objects=False)
    assert (found["unreadable.answer"], found["recall.answer"]) == (0.0, 1.0)


def test_a_whole_number_is_a_class_however_json_writes_it():
    one = AnswerKind(kind="label", classes=(1, True))
    said = [json.dumps({"f": value}) for value in (1.0, 1, True, 1.5)]
    assert read_field("f", one, said, as_objects=True) == ["1", "1", "true", None]
    several = AnswerKind(kind="labels", classes=(1, 2))
    lists = [json.dumps({"f": value}) for value in ([1.0, 2], [1.5])]
    assert read_field("f", several, lists, as_objects=True) == [{"1", "2"}, None]


def test_fields_of_plain_answers_are_refused():
    with pytest.raises(InputError, match="one field of a plain answer is answer"):
        require_references({"score": SCORE}, ["80"], as_objects=False)


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (SCORE, "80", 'a number from 0 to 100, and the reference of holdout example 2 has "80"'),
        (SCORE, 101, "has 101"),
        (VERDICT, "fine", "one of good, bad, and the reference"),
        (THEMES, "hope", "a list of classes"),
        (WORDS, 5, "a text"),
    ],
)
def test_a_reference_of_another_kind_is_refused(kind, value, reason):
    with pytest.raises(InputError, match=reason):
        score_fields({"f": kind}, ["{}"] * 2, ["{}", json.dumps({"f": value})], as_objects=True)


def test_a_field_that_no_reference_has_is_refused():
    with pytest.raises(InputError, match="none of the 2 references has that field"):
        require_references({"score": SCORE}, ['{"points": 3}', None], as_objects=True)


def test_fractions_on_a_scale_of_percent_are_refused_in_references_and_noted_in_answers():
    fractions = ['{"score": 0.95}', '{"score": 1}', '{"score": 0}']
    percents = ['{"score": 95}', '{"score": 100}', '{"score": 0}']
    with pytest.raises(InputError, match="no reference is above 1: they look like fractions"):
        require_references({"score": SCORE}, fractions, as_objects=True)
    notes = note_fields({"score": SCORE}, fractions, percents, as_objects=True)
    assert set(notes) == {"mae.score", "rmse.score", "within.score"}
    assert "fractions of 1?" in notes["mae.score"]
    # but not on a scale of fractions, nor of answers and references that are all 0
    assert note_fields({"score": SCORE}, percents, percents, as_objects=True) == {}
    of_one = AnswerKind(kind="number", low=0.0, high=1.0)
    require_references({"score": of_one}, fractions, as_objects=True)
    require_references({"score": SCORE}, ['{"score": 0}'], as_objects=True)


def test_whole_references_of_0_and_1_may_be_low_scores_and_are_noted():
    # given few points on a scale to 10
    kind = AnswerKind(kind="number", low=0.0, high=10.0)
    low = ['{"score": 0}', '{"score": 1}', '{"score": 1.0}']
    # when
    require_references({"score": kind}, low, as_objects=True)
    notes = note_fields({"score": kind}, ['{"score": 7}'] * 3, low, as_objects=True)
    # then
    assert notes["mae.score"] == "no reference is above 1 on a scale from 0 to 10: fractions of 1?"


def test_a_declared_label_has_accuracy_in_the_place_of_field_accuracy():
    said, wanted = ['{"verdict": "good", "why": "x"}'], ['{"verdict": "good", "why": "x"}']
    columns = score_objects(said, wanted) | score_fields(
        {"verdict": VERDICT}, said, wanted, as_objects=True
    )
    names = set(values_of(columns))
    assert {"accuracy.verdict", "field_accuracy.why"} <= names
    assert "field_accuracy.verdict" not in names


def test_field_accuracy_asks_only_where_the_reference_has_the_field():
    columns = score_objects(['{"a": 1}', '{"a": 1}'], ['{"a": 1}', '{"b": 1}'])
    assert values_of(columns)["field_accuracy.a"] == 1.0


def test_a_field_may_have_any_name():
    name = "a:b.c{field}=%"
    text = json.dumps({name: ["x"]})
    kind = AnswerKind(kind="labels", classes=("x", "y"))
    columns = score_fields({name: kind}, [text], [text], as_objects=True)
    scores = Scores(("0",), columns)
    assert metric_by_name(f"macro_f1.{name}", scores).statistic
    assert values_of(columns)[f"macro_f1.{name}"] == 1.0


def test_nan_is_no_json():
    assert parse_object('{"a": NaN}') is None
    assert parse_object('{"a": 1}') == {"a": 1}


def test_an_answer_keeps_its_schema_or_does_not():
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"maximum": 3}}}
    said = ['{"a": 3}', '{"a": 4}', "{}", "x", '{"a": NaN}', "[" * 5000]
    assert score_schema(said, schema)["schema_valid"].tolist() == [1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"pattern": "("}, "is no JSON Schema: '(' is not a 'regex'"),
        ({"properties": {"a": {"$ref": "#/$defs/lost"}}}, "refers to '#/$defs/lost'"),
        ({"$ref": "#lost"}, "refers to '#lost'"),
        ({"$dynamicRef": "#lost"}, "refers to '#lost'"),
        ({"anyOf": [{}], "$ref": "#/anyOf/1"}, "refers to '#/anyOf/1'"),
    ],
)
def test_a_schema_that_no_answer_could_be_held_against_is_refused_with_its_key(schema, reason):
    with pytest.raises(InputError, match=re.escape(f"label.answer_schema {reason}")):
        score_schema(['"a"'], schema)


def test_a_schema_may_refer_to_any_place_in_itself():
    places = {"$defs": {"a b": {"type": "string"}, "c": {"$anchor": "named", "type": "null"}}}
    refers = [{"$ref": "#/$defs/a%20b"}, {"$ref": "#named"}, {"$ref": "#/anyOf/0"}, {"const": 1}]
    said = ['"a"', "null", "1", "2"]
    assert score_schema(said, places | {"anyOf": refers})["schema_valid"].tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("kind", [SCORE, VERDICT, THEMES, WORDS], ids=lambda kind: kind.kind)
def test_a_blank_plain_text_is_no_answer_and_no_reference(kind):
    right = {"number": "80", "label": "good", "labels": '["a"]', "text": "x"}[kind.kind]
    columns = score_fields({"answer": kind}, [" ", right], [right, "\n"], as_objects=False)
    assert columns["asked:answer"].tolist() == [1, 0]
    assert columns["unreadable:answer"].tolist() == [1, 0]
