"""Declared tags are found by their words in any script, and defaults are measured from them."""

import math

import numpy as np
import pytest
from scipy import stats

from stillhouse.core.errors import UsageError
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.compare import compare
from stillhouse.evals.estimates import estimate_metric
from stillhouse.evals.metrics import metric_by_name
from stillhouse.evals.scores import Scores
from stillhouse.evals.tags import (
    CLASS,
    TRADITION,
    TagFinder,
    distance_metric,
    score_tags,
    share_metric,
    tag_metrics,
)

TRADITIONS = TagFinder(
    {
        "Japanese": ["japan*", "ukiyo-e", "日本"],
        "Yoruba": ["yoruba", "Yorùbá"],
        "Hindustani": ["hindustani", "हिन्दुस्तानी"],
    }
)
GENDER = TagFinder({"woman": ["woman", "she", "her"], "man": ["man", "he", "his"]})


def estimates(finder, texts, kind, name, **given):
    scores = Scores(
        tuple(map(str, range(len(texts)))),
        score_tags([[finder.find(text)] for text in texts], finder.names, kind),
    )
    metric = given.pop("metric", None) or metric_by_name(name, scores)
    return estimate_metric(metric, scores, Resampling(draws=300))


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("A Japanese garden", {"Japanese"}),
        ("Ukiyo-e, a woodcut of YORÙBÁ drums", {"Japanese", "Yoruba"}),
        ("これは日本の庭です", {"Japanese"}),
        ("हिन्दुस्तानी संगीत", {"Hindustani"}),
        ("jap, ukiyo, a yorubaland", set()),
        ("", set()),
    ],
)
def test_a_tag_is_found_by_its_words(text, tags):
    assert TRADITIONS.find(text) == tags


def test_a_word_of_a_class_is_not_found_inside_another_word():
    assert GENDER.find("The chef sees the shepherd") == set()
    assert GENDER.find("He sees her.") == {"woman", "man"}


@pytest.mark.parametrize("tags", [{}, {"a": []}, {"a": ["x", "!?"]}])
def test_tags_without_words_are_refused(tags):
    with pytest.raises(UsageError, match=r"no tags|no words|without words"):
        TagFinder(tags)


def test_coverage_counts_traditions_and_its_lower_bound_leaves_out_what_rests_on_one_text():
    # given two well covered traditions, and one in a single text
    texts = ["japan"] * 10 + ["yoruba"] * 10 + ["hindustani"]
    # when
    found = estimates(TRADITIONS, texts, TRADITION, "traditions_covered")
    # then
    assert (found.value, found.low, found.high) == (3.0, 2.0, 3.0)
    least = estimates(TRADITIONS, texts, TRADITION, "traditions_min_share")
    assert least.value == pytest.approx(1 / 21)


def test_a_default_is_seen_in_top_share_and_entropy():
    texts = ["a man"] * 9 + ["a woman"]
    assert estimates(GENDER, texts, CLASS, "classes_top_share").value == pytest.approx(0.9)
    even = estimates(GENDER, texts, CLASS, "classes_entropy")
    corrected = stats.entropy([0.9, 0.1]) + 1 / 20
    assert even.value == pytest.approx(corrected / math.log(2))
    assert estimates(GENDER, ["man", "woman"] * 50, CLASS, "classes_entropy").value == 1.0
    assert estimates(GENDER, ["man"] * 5, CLASS, "classes_entropy").value == 0.0


def test_the_most_named_of_three_is_never_below_a_third_nor_the_least_above():
    finder = TagFinder({name: [name] for name in ("ash", "elm", "oak")})
    texts = ["ash", "elm", "oak"] * 10
    top, least = (
        estimates(finder, texts, CLASS, name) for name in ("classes_top_share", "classes_min_share")
    )
    assert top.low == top.value == pytest.approx(1 / 3)
    assert least.high == least.value == pytest.approx(1 / 3)
    assert least.low < 1 / 3 < top.high
    # but where one alone was named, another may be as often missing as the sample is small
    alone = estimates(finder, ["ash"] * 10, CLASS, "classes_top_share")
    assert alone.low == pytest.approx(0.025 ** (1 / 10))


def test_probes_of_one_kind_count_apart_and_name_their_metrics_by_themselves():
    # given two probes of classes, the second of a text that the first does not see, and one of
    # traditions
    columns = (
        score_tags([[{"man"}], [{"man"}]], ["woman", "man"], CLASS, "gender")
        | score_tags([[{"old"}], []], ["old", "young"], CLASS, "age.of")
        | score_tags([[set()], [set()]], ["a", "b"], TRADITION, "places")
    )
    scores = Scores(("0", "1"), columns)
    # when
    found = {
        metric.name: (metric.num_counted(scores), estimate_metric(metric, scores, Resampling(100)))
        for metric in tag_metrics(scores)
    }
    # then
    assert found["classes_top_share.gender"][0] == 2
    assert found["classes_named.age.of"][0] == found["classes_named.age.of"][1].value == 1
    assert found["traditions_named"][1].value == 0.0
    assert len(found) == 15


def test_shares_and_the_distance_to_a_reference_are_of_namings():
    # given a text that names both counts for both, one that names none for none
    texts = ["man", "man", "he and she", "nobody"]
    needs = ("class:woman", "class:man")
    # when
    man = estimates(GENDER, texts, CLASS, "", metric=share_metric("man", CLASS, needs))
    away = estimates(GENDER, texts, CLASS, "", metric=distance_metric({"woman": 1, "man": 1}))
    named = estimates(GENDER, texts, CLASS, "classes_named")
    # then
    assert (man.value, man.n) == (pytest.approx(3 / 4), 3)
    assert away.value == pytest.approx(1 / 4)
    assert named.value == pytest.approx(3 / 4)


def test_where_nothing_is_named_nothing_is_covered_and_shares_are_not_defined():
    assert estimates(GENDER, ["a", "b"], CLASS, "classes_covered").value == 0
    assert math.isnan(estimates(GENDER, ["a", "b"], CLASS, "classes_top_share").value)
    assert math.isnan(estimates(GENDER, ["a", "b"], CLASS, "classes_entropy").value)


@pytest.mark.parametrize("reference", [{"a": -1, "b": 2}, {"a": 0, "b": 0}])
def test_a_reference_that_is_no_distribution_is_refused(reference):
    with pytest.raises(UsageError, match="reference"):
        distance_metric(reference)


def test_a_student_that_defaults_more_than_its_base_is_found_paired_by_prompt():
    # given 40 prompts with five answers each
    draw = np.random.default_rng(0)

    def answers(prob):
        return [
            [{"man"} if draw.random() < prob else {"woman"} for _ in range(5)] for _ in range(40)
        ]

    base, student = (
        Scores(tuple(map(str, range(40))), score_tags(answers(prob), ("woman", "man")))
        for prob in (0.55, 0.85)
    )
    # when
    metric = metric_by_name("classes_top_share", base)
    found = compare(metric, student, base, "difference", Resampling(draws=300))
    # then
    assert 0.1 < found.low < found.value < found.high < 0.5
