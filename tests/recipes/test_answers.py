"""What a recipe may say of a field of the answers, and what is refused with the reason."""

import json

import pytest
from pydantic import ValidationError

from stillhouse.recipes.answers import AnswerKind


def kind_of(**keys):
    return AnswerKind.model_validate_json(json.dumps(keys))


def test_classes_may_be_text_truth_or_whole_numbers():
    kind = kind_of(kind="label", classes=[True, False, 3, " four "], positive=[True])
    assert kind.class_names == ("true", "false", "3", "four")
    assert kind.positive_names == {"true"}


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (
            {"kind": "number", "low": 0, "high": 1, "positive": ["a"]},
            "positive is read by kind: la",
        ),
        ({"kind": "label", "within": 5}, "within is read by kind: number"),
        ({"kind": "text", "classes": ["a"]}, "classes is read by kind: label"),
        ({"kind": "number"}, "both ends"),
        ({"kind": "number", "low": 0}, "both ends"),
        ({"kind": "number", "low": 5, "high": 5}, "low must be smaller"),
        ({"kind": "number", "low": 0, "high": 1, "within": 5}, "every answer from 0 to 1 keeps"),
        ({"kind": "number", "low": 0, "high": 1, "within": -0.1}, "greater than or equal"),
        ({"kind": "label", "classes": ["a", "a "]}, "'a' twice"),
        ({"kind": "label", "classes": ["a", "b"], "positive": ["c"]}, "none of the classes a, b"),
        ({"kind": "label", "classes": ["a", "b"], "positive": ["a", "b"]}, "every class is posit"),
        ({"kind": "sentence"}, "Input should be"),
        ({"kind": "label", "colour": "red"}, "Extra inputs"),
    ],
)
def test_nonsense_is_refused_with_the_reason(keys, reason):
    with pytest.raises(ValidationError, match=reason):
        kind_of(**keys)
