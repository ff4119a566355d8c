"""Votes are read from every form in which people write them; one value of a JSON text is found."""

import json

import pytest

from stillhouse.core.errors import InputError
from stillhouse.data.json_spans import value_span
from stillhouse.data.votes import votes_of


@pytest.mark.parametrize(
    ("value", "votes"),
    [
        ({"yes": 3, "no": 1}, {"yes": 3.0, "no": 1.0}),
        (["yes", "no", "yes"], {"yes": 2.0, "no": 1.0}),
        ('{"yes": 0.75, "no": 0.25}', {"yes": 0.75, "no": 0.25}),
        ('["a", "b"]', {"a": 1.0, "b": 1.0}),
        ({}, None),
        ("", None),
        (None, None),
        ([], None),
        ({"yes": 0}, None),
    ],
)
def test_votes_are_read(value, votes):
    assert votes_of(value, "rows.csv:3") == votes


@pytest.mark.parametrize(
    "value", ["yes", 3, {"yes": -1}, {"yes": "3"}, {"yes": True}, {"yes": 10**400}, [1, 2], "{1"]
)
def test_what_holds_no_votes_is_refused_with_its_row(value):
    with pytest.raises(InputError, match=r"rows\.csv:3: .* holds no votes"):
        votes_of(value, "rows.csv:3")


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"verdict":"NO","z":{"verdict":"inner"}}',
        '{ "a" : [1, {"verdict": 2}], "verdict"  :  "N\\"O" , "b": null }',
        '{"verdict": true}',
        '{"verdict": "first", "verdict": "last"}',
        '\n{"verdict":\n{"x": [1]}}\n',
    ],
)
def test_a_value_is_found_where_a_reader_finds_it(text):
    start, end = value_span(text, "verdict")

    assert json.loads(text[start:end]) == json.loads(text)["verdict"]
    assert json.loads(text[:start] + '"other"' + text[end:])["verdict"] == "other"


@pytest.mark.parametrize(
    "text",
    ["", "no", "[1]", "{", '{"a": 1', '{"a": 1}', '{"verdict": 1} {"verdict": 2}', '{"verdict"}',
     '{"verdict": 1,}', '{"verdict": }', "{'verdict': 1}",
     pytest.param('{"verdict": ' + "[" * 200_000, id="deeper than a reader goes")],
)  # fmt: skip
def test_in_what_is_no_object_with_the_field_there_is_none(text):
    assert value_span(text, "verdict") is None
