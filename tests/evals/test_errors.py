"""Wrong answers fall into the clusters that they were made to have, and into no others."""

from __future__ import annotations

import json
import random

import pytest
from scipy.stats import hypergeom

from stillhouse.evals.errors import (
    MOST_CLUSTERS,
    Answered,
    can_be_wrong,
    chance_of,
    cluster_errors,
)


def answered(number, expected, given, prompt="how are you", **more):
    return Answered(f"e{number}", prompt, expected, given, expected != given, **more)


def test_a_confusion_names_both_classes_and_what_to_add():
    rows = [answered(i, "refund", "cancel") for i in range(37)]
    rows += [answered(100 + i, "cancel", "hello") for i in range(4)]
    rows += [answered(200 + i, "hello", "hello") for i in range(60)]

    first = cluster_errors(rows, as_objects=False)[0]

    assert first.kind == "confusion"
    assert first.title == "refund answered as cancel"
    assert first.advice.startswith("37 of 41 errors confuse refund with cancel: add rows of refund")
    assert len(first.wrong) == first.num_seen == 37


def test_a_confusion_is_found_in_the_field_where_it_is():
    def text(**fields):
        return json.dumps(fields)

    moods = ["calm", "angry"]
    rows = [
        answered(i, text(mood=moods[i % 2], id=f"n{i}"), text(mood="calm", id=f"n{i}"))
        for i in range(20)
    ]

    clusters = cluster_errors(rows, as_objects=True)

    assert clusters[0].title == "mood: angry answered as calm"
    assert "10 of 10 errors in mood confuse angry with calm" in clusters[0].advice
    assert not any("id" in cluster.title for cluster in clusters)


def test_a_word_that_goes_with_errors_is_found_and_a_common_one_is_not():
    draw = random.Random(3)
    rows = []
    for i in range(200):
        is_hard = i % 10 == 0
        words = ["please", "help", draw.choice(["lamp", "kettle", "blower"])]
        words += ["refund"] if is_hard else []
        label = draw.choice(["a", "b"])
        rows.append(answered(i, label, "c" if is_hard else label, " ".join(words)))

    clusters = cluster_errors(rows, as_objects=False)

    words = [one for one in clusters if one.kind == "words"]
    assert [one.title for one in words] == ["prompts with the word refund"]
    assert words[0].advice == (
        "20 of 20 are wrong, 0 of 180 elsewhere: add rows whose prompt holds refund"
    )


def test_errors_by_chance_make_no_cluster_of_words_or_slices():
    draw = random.Random(5)
    rows = []
    for i in range(300):
        prompt = " ".join(draw.sample([f"word{chr(97 + k)}" for k in range(20)], 6))
        given = "a" if draw.random() < 0.7 else "b"
        slices = {"genre": draw.choice(["rock", "folk", "jazz"])}
        rows.append(answered(i, "a", given, prompt, slices=slices))

    assert {one.kind for one in cluster_errors(rows, as_objects=False)} <= {"confusion"}


def test_a_slice_that_is_worse_than_the_rest_is_told_with_its_counts():
    rows = [answered(i, "a", "a", slices={"genre": "rock"}) for i in range(50)]
    rows += [answered(60 + i, "b", "a", slices={"genre": "folk"}) for i in range(12)]

    found = {one.title: one for one in cluster_errors(rows, as_objects=False)}

    assert found["genre: folk"].advice == (
        "12 of 12 are wrong, 0 of 50 elsewhere: add rows whose genre is folk"
    )


def test_cut_answers_and_answers_without_form_ask_for_training_not_for_rows():
    rows = [answered(i, '{"a": 1}', '{"a": 1, "b', is_cut=True) for i in range(4)]

    kinds = {one.kind: one for one in cluster_errors(rows, as_objects=True)}

    assert "train longer" in kinds["cut"].advice
    assert "4 of 4 wrong answers are no JSON object" in kinds["no JSON"].advice


def test_a_class_that_is_wrong_for_one_confusion_is_told_once():
    rows = [answered(i, "refund", "cancel") for i in range(30)]
    rows += [answered(100 + i, "hello", "hello") for i in range(60)]
    spread = [answered(200 + i, "lost", f"other {i % 10}") for i in range(30)]

    told = cluster_errors(rows, as_objects=False)
    both = cluster_errors(rows + spread, as_objects=False)

    assert [one.title for one in told] == ["refund answered as cancel"]
    assert "lost" in [one.title for one in both if one.kind == "class"]


def test_one_broken_answer_among_many_is_no_group():
    rows = [answered(i, '{"a": "x"}', '{"a": "y"}') for i in range(60)]
    rows += [answered(100, '{"a": "x"}', '{"a": "', is_cut=True)]

    kinds = {one.kind for one in cluster_errors(rows, as_objects=True)}

    assert not kinds & {"cut", "no JSON"}


def test_no_error_and_no_example_make_no_cluster():
    assert cluster_errors([], as_objects=False) == []
    assert cluster_errors([answered(1, "a", "a")], as_objects=True) == []


def test_there_are_never_more_clusters_than_can_be_read():
    rows = [
        answered(i, f"class {i % 40}", f"other {i % 40}", f"word{chr(97 + i % 20)}")
        for i in range(400)
    ]
    rows += [answered(1000 + i, f"class {i % 40}", f"class {i % 40}") for i in range(400)]

    assert len(cluster_errors(rows, as_objects=False)) == MOST_CLUSTERS


@pytest.mark.parametrize(
    ("expected", "as_objects", "is_error"),
    [
        ("short", False, True),
        ("a long tale " * 20, False, False),
        ("a long tale " * 20, True, True),
    ],
)
def test_another_wording_of_a_long_text_is_no_error(expected, as_objects, is_error):
    rows = [answered(i, f"{expected} {i}", "other") for i in range(5)]

    assert can_be_wrong(rows, as_objects=as_objects) is is_error


@pytest.mark.parametrize(
    ("wrong", "seen", "all_wrong", "total"),
    [(0, 5, 3, 20), (3, 5, 3, 20), (9, 11, 21, 91), (120, 400, 500, 2000), (5, 5, 20, 20)],
)
def test_the_chance_is_that_of_the_hypergeometric_distribution(wrong, seen, all_wrong, total):
    reference = hypergeom.sf(wrong - 1, total, all_wrong, seen)

    assert chance_of(wrong, seen, all_wrong, total) == pytest.approx(reference, rel=1e-9)
