"""One model asked the same again, in a batch, and in other words."""

import json

import pytest
from tests.evals.test_fields import SCORE, THEMES, VERDICT, values_of

from stillhouse.core.errors import InputError
from stillhouse.evals.consistency import score_batch, score_paraphrases, score_repeats

KINDS = {"score": SCORE, "verdict": VERDICT}


def answer(score, verdict="good"):
    return json.dumps({"score": score, "verdict": verdict})


def test_greedy_repeats_have_no_spread_and_no_flip():
    said = [answer(80), answer(20, "bad")]
    found = values_of(score_repeats(KINDS, [said] * 5, as_objects=True))
    assert found == {
        "repeat_equality": 1.0,
        "repeat_range.score": 0.0,
        "flip_rate.verdict": 0.0,
    }


def test_the_spread_is_largest_minus_smallest_as_a_share_of_the_scale():
    # given two examples asked three times
    repeats = [
        [answer(80), answer(20)],
        [answer(86), answer(20)],
        [answer(83), answer(20, "bad")],
    ]
    # when
    found = values_of(score_repeats(KINDS, repeats, as_objects=True))
    # then
    assert found["repeat_range.score"] == pytest.approx(0.03)
    assert found["flip_rate.verdict"] == 0.5
    assert found["repeat_equality"] == 0.0


def test_repeats_that_cannot_be_read_are_never_steady():
    found = values_of(score_repeats(KINDS, [["torn"], ["torn"]], as_objects=True))
    assert found["repeat_range.score"] == found["flip_rate.verdict"] == 1.0


def test_sets_of_labels_flip_when_a_member_changes_and_not_when_the_order_does():
    themes = {"themes": THEMES}
    first, turned, other = (json.dumps({"themes": own}) for own in (["a", "b"], ["b", "a"], ["a"]))
    found = score_repeats(themes, [[first, first], [turned, other]], as_objects=True)
    assert found["flip:themes"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("repeats", "reason"), [([["a"]], "asked of 1 repeats"), ([["a"], ["a", "b"]], r"\[1, 2\]")]
)
def test_too_few_or_uneven_repeats_are_refused(repeats, reason):
    with pytest.raises(InputError, match=reason):
        score_repeats({}, repeats, as_objects=True)


def test_a_batch_is_as_far_from_one_by_one_as_its_farthest_answer():
    alone = [answer(80), answer(20), answer(5)]
    batch = [answer(80), answer(22), answer(5)]
    found = values_of(score_batch(KINDS, alone, batch, as_objects=True))
    assert found == {"batch_equality": pytest.approx(2 / 3), "batch_difference.score": 2.0}
    torn = values_of(score_batch(KINDS, alone, ["torn", *batch[1:]], as_objects=True))
    assert torn["batch_difference.score"] == 100.0


def test_two_unreadable_answers_are_a_whole_scale_apart():
    said = [answer(80), "torn"]
    found = values_of(score_batch(KINDS, said, said, as_objects=True))
    assert found == {"batch_equality": 1.0, "batch_difference.score": 100.0}


def test_paraphrases_are_counted_by_groups_and_by_pairs():
    # given a group of three with one outlier, an equal pair, one alone and two of no group
    said = ["x", "x", "y", "z", "z", "u", "v", "w"]
    groups = ["1", "1", "1", "2", "2", "3", None, None]
    # when
    found = values_of(score_paraphrases({}, said, groups, as_objects=False))
    # then
    assert found["paraphrase_consistency"] == 0.5
    assert found["paraphrase_pairs"] == pytest.approx((1 + 1) / (3 + 1))


def test_paraphrases_with_fields_are_equal_where_the_fields_are():
    said = [answer(80), '{"verdict": "good", "score": 80.0}', "torn", "torn"]
    found = values_of(score_paraphrases(KINDS, said, ["1", "1", "2", "2"], as_objects=True))
    assert found["paraphrase_consistency"] == 0.5
