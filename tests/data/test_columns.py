import pytest

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Row
from stillhouse.data.columns import select_columns
from stillhouse.data.paths import MISSING, find, paths_of
from stillhouse.data.readers import read_rows
from stillhouse.recipes.rows import Source

FIELDS = {"choices": {"text": ["a", "b"], "label": ["A", "B"]}, "x.y": {"z": 1}, "n": None}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("choices.text.0", "a"),
        ("choices.text.-1", "b"),
        ("choices.text.-2", "a"),
        ("x.y.z", 1),
        ("n", None),
    ],
)
def test_a_dotted_path_finds_what_stands_there(path, value):
    assert find(FIELDS, path) == value


@pytest.mark.parametrize(
    "path", ["choices.text.2", "choices.text.-3", "choices.text.x", "n.a", "x", "choices.text.²"]
)
def test_a_path_to_nothing_is_missing(path):
    assert find(FIELDS, path) is MISSING


def test_a_key_with_dots_is_tried_before_its_parts():
    assert find({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    assert find({"a.b": {"d": 1}, "a": {"b": {"c": 2}}}, "a.b.c") == 2


def test_paths_are_listed_parents_first():
    assert list(paths_of({"a": {"b": [1]}, "c": 2})) == ["a", "a.b", "a.b.0", "c"]


def test_columns_are_renamed_and_the_rest_is_left_out():
    row = Row("id", FIELDS, "a.jsonl:1")

    assert select_columns(row, {"first": "choices.text.0"}).fields == {"first": "a"}
    assert select_columns(row, {}) is row


def test_a_wrong_column_names_the_line_the_nearest_and_what_there_is():
    row = Row("id", FIELDS, "a.jsonl:7")

    with pytest.raises(InputError) as caught:
        select_columns(row, {"first": "choices.texts.0"})

    assert caught.value.message == (
        'a.jsonl:7: collect.columns.first names "choices.texts.0", which this row does not have '
        '(did you mean "choices.text.0"?)'
    )
    assert caught.value.hint == "it has: choices, x.y, n"
    assert caught.value.exit_code == 2


def test_real_choices_are_read_by_dotted_paths(shared_file):
    path = shared_file("mcq/commonsense_qa_val.jsonl")
    columns = {"question": "question", "first": "choices.text.0", "last": "choices.text.-1"}

    row = select_columns(next(read_rows(Source(file=path.name), path.parent)), columns)

    assert (row.fields["first"], row.fields["last"]) == ("bank", "new york")
