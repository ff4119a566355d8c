"""Where the teacher's answers are the reference, no number says that an answer is right."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.core.errors import InputError
from stillhouse.evals.answers import score_objects
from stillhouse.evals.fields import compare_fields, score_fields
from stillhouse.evals.metrics import metrics_of
from stillhouse.evals.scores import COUNT, Scores
from stillhouse.evals.without_right import reference_in_words, without_right
from stillhouse.recipes.answers import AnswerKind
from stillhouse.recipes.reference_problems import NEARNESS, needs_gold

KINDS = {
    "mood": AnswerKind(kind="label"),
    "tags": AnswerKind(kind="labels"),
    "score": AnswerKind(kind="number", low=0, high=10, within=1.0),
    "why": AnswerKind(kind="text"),
}
ANSWERS = st.fixed_dictionaries(
    {
        "mood": st.sampled_from(["calm", "angry"]),
        "tags": st.lists(st.sampled_from("ab"), unique=True),
        "score": st.integers(0, 10),
        "why": st.text(max_size=20),
    }
).map(json.dumps)


def names_of(said, teacher, *, is_teacher):
    columns = score_objects(said, teacher) | score_fields(KINDS, said, teacher, as_objects=True)
    ids = tuple(map(str, range(len(said))))
    gold = Scores(ids, columns)
    ours = Scores(ids, without_right(columns, is_teacher=is_teacher))
    return ({one.name for one in metrics_of(scores)} for scores in (gold, ours))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(ANSWERS, ANSWERS), min_size=1, max_size=6), st.booleans())
def test_what_is_left_is_near_the_teacher_or_of_form(pairs, is_teacher):
    said, teacher = map(list, zip(*pairs, strict=True))
    gold, ours = names_of(said, teacher, is_teacher=is_teacher)

    assert any(map(needs_gold, gold))
    assert not any(map(needs_gold, ours))
    near = {name for name in ours if name.startswith(NEARNESS)}
    assert ours - near <= {"valid_json"} | {f"unreadable.{name}" for name in KINDS}
    expected = {"bleu.why", "chrf.why", "rouge_l.why", "mae.score", "rmse.score", "field_agreement"}
    assert near == (set() if is_teacher else expected)


def test_a_field_that_the_teacher_wrote_as_no_such_thing_counts_as_missing():
    said = ['{"score": 3}', '{"score": 4}', '{"score": 5}']
    teacher = ['{"score": "high"}', '{"score": 4}', "no object"]
    with pytest.raises(InputError, match="is a number"):
        score_fields({"score": KINDS["score"]}, said, teacher, as_objects=True)

    found = compare_fields(KINDS, said, teacher, as_objects=True)

    assert found["asked:score"].tolist() == [0.0, 1.0, 0.0]
    assert found["asked:mood"].sum() == 0


def test_fields_are_held_against_the_teachers_one_by_one():
    said = ['{"a": 1, "b": 2}', '{"a": 1}', "no object"]
    teacher = ['{"b": 2, "a": 1}', '{"a": 2, "b": 3}', '{"a": 1}']
    columns = without_right(score_objects(said, teacher), is_teacher=False)

    (metric,) = [one for one in metrics_of(Scores(("x", "y", "z"), columns))
                 if one.name == "field_agreement"]  # fmt: skip

    assert metric.statistic(metric.columns(Scores(("x", "y", "z"), columns)), np.ones((1, 3))) == [
        2 / 5
    ]
    assert COUNT not in columns


def test_the_sentence_tells_how_many_rows_nobody_is_measured_on():
    assert "rows" not in reference_in_words(20, {})
    assert "6 of 20 rows" in reference_in_words(14, {"cut": 4, "refusal": 2})
    assert "cut 4, refusal 2" in reference_in_words(14, {"cut": 4, "refusal": 2})
