"""What of a teacher's answers may be learned."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.core.rows import Completion
from stillhouse.data.answers import AnswerChecks, elect

SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 0, "maximum": 100}},
    "required": ["score"],
}


def said(text, finish="stop", index=0, reason=""):
    return Completion("e", text, finish, 1, reason, sample_index=index)


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        ('{"score": 7}', "stop", ""),
        ('```json\n{"score": 7}\n```', "stop", ""),
        ('{"score": 101}', "error", "wrong_schema"),
        ('{"score": "7"}', "error", "wrong_schema"),
        ("seven", "error", "wrong_schema"),
        ('{"score": 7, "why": "in the STYLE of Monet"}', "error", "wrong_style"),
    ],
)
def test_an_answer_is_learned_when_it_fits_schema_and_style(text, finish, reason):
    judged = AnswerChecks(SCHEMA, ["in the (style|manner) of"]).judge(said(text))

    assert (judged.finish, judged.reason) == (finish, reason)


def test_what_is_learned_of_fenced_json_is_the_json():
    assert AnswerChecks(SCHEMA, []).judge(said('```\n{"score": 7}\n```')).text == '{"score": 7}'


def test_without_a_schema_a_fence_is_part_of_the_answer():
    text = "```\nprint(1)\n```"
    assert AnswerChecks(None, []).judge(said(text)).text == text


def test_an_answer_that_was_cut_keeps_its_own_reason():
    cut = said("{", "length")
    assert AnswerChecks(SCHEMA, ["."]).judge(cut) is cut


def test_problems_name_their_place_for_whoever_must_mend_them():
    assert AnswerChecks(SCHEMA, []).problems('{"score": -1}').startswith("- $.score: -1 is less")


def test_json_is_compared_by_value_and_text_without_its_blanks():
    found = elect([said('{"a":1,"b":2}'), said('{ "b": 2, "a": 1 }', index=1)], 2, 1.0)
    assert [one.finish for one in found] == ["stop", "error"]
    assert found[1].reason == "outvoted"
    assert elect([said(" yes  sir"), said("yes sir\n", index=1)], 2, 1.0)[0].finish == "stop"


def test_what_does_not_agree_enough_is_not_learned():
    found = elect([said("a"), said("b", index=1), said("c", index=2)], 3, 0.5)
    assert {one.reason for one in found} == {"inconsistent"}


@given(st.lists(st.sampled_from(["a", "b", "", None]), max_size=9), st.floats(0.01, 1.0))
def test_an_election_keeps_every_answer_and_at_most_one_winner(texts, share):
    answers = [
        said("x", "error", index, "refusal") if text is None else said(text, index=index)
        for index, text in enumerate(texts)
    ]

    found = elect(answers, len(answers), share)

    assert [(one.sample_index, one.text) for one in found] == [
        (one.sample_index, one.text) for one in answers
    ]
    winners = [one for one in found if one.finish == "stop"]
    assert len(winners) <= 1
    for winner in winners:
        agreeing = sum(one.text.split() == winner.text.split() for one in answers
                       if one.finish == "stop")  # fmt: skip
        assert agreeing / len(answers) >= share


def test_answers_that_never_came_count_as_disagreeing():
    assert elect([said("a")], 3, 0.5)[0].reason == "inconsistent"
    assert elect([said("a"), said("a", index=1)], 3, 0.5)[0].finish == "stop"


def test_a_bracket_that_never_ends_is_no_json_and_no_crash():
    text = "[" * 100_000
    assert AnswerChecks(SCHEMA, []).problems(text).startswith("- answer: no JSON")
    assert elect([said(text)], 1, 1.0)[0].finish == "stop"
