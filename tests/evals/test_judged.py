"""Wrong judgements fall into their categories, and gains and losses stand apart."""

import numpy as np
import pytest
from scipy.stats import binomtest

from stillhouse.core.errors import ShapeError
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.christian import christian_columns
from stillhouse.evals.error_categories import CATEGORIES, error_columns
from stillhouse.evals.estimates import estimate_metric
from stillhouse.evals.hallucination import KINDS, hallucination_columns
from stillhouse.evals.improvement import improvement_columns, sign_test
from stillhouse.evals.judged import Judged
from stillhouse.evals.metrics import metric_by_name, metrics_of
from stillhouse.evals.probes import probe_columns
from stillhouse.evals.scores import Scores


def table(columns):
    (length,) = {len(values) for values in columns.values()}
    return Scores(tuple(map(str, range(length))), columns)


def value(name, scores):
    metric = metric_by_name(name, scores)
    return estimate_metric(metric, scores, Resampling(draws=100))


def errors_of(said, known):
    columns = error_columns([said], [known])
    return {name for name in CATEGORIES if columns[f"category:{name}"][0]}


@pytest.mark.parametrize(
    ("said", "known", "expected"),
    [
        (95, 79, {"false_positive_christian"}),
        (95, 80, set()),
        (94, 60, {"score_overestimate"}),
        (95, 74, {"false_positive_christian", "score_overestimate"}),
        (79, 95, {"false_negative_christian"}),
        (80, 95, set()),
        (70, 95, {"false_negative_christian", "score_underestimate"}),
        (70, 90, set()),
        (69, 90, {"score_underestimate"}),
        (None, 90, {"unreadable"}),
    ],
)
def test_scores_fall_into_their_categories_at_the_stated_bounds(said, known, expected):
    assert errors_of(Judged(said), Judged(known)) == expected


def test_themes_are_misclassified_when_none_is_shared():
    def themes(*names):
        return Judged(50, themes=frozenset(names))

    assert errors_of(themes("grace", "joy"), themes("joy")) == set()
    assert errors_of(themes("grace"), themes("joy")) == {"theme_misclassification"}
    assert errors_of(themes("grace"), themes()) == {"theme_misclassification"}
    assert errors_of(themes(), themes("joy")) == {"theme_misclassification"}
    assert errors_of(themes(), themes()) == set()


def test_scripture_mismatches_when_it_is_unsupported_or_elsewhere():
    def at(*chapters, is_supported=True):
        return Judged(50, passages=frozenset(chapters), is_supported=is_supported)

    assert errors_of(at("John.3"), at("John.3", "Rom.8")) == set()
    assert errors_of(at("John.3"), at()) == set()
    assert errors_of(at("John.3"), at("Rom.8")) == {"scripture_mismatch"}
    assert errors_of(at("John.3", is_supported=False), at("John.3")) == {"scripture_mismatch"}


def test_an_item_whose_reference_has_no_score_is_not_asked():
    # given one error among two that are asked, and two answers without a score
    said = [Judged(99), Judged(99), Judged(99), Judged(None)]
    columns = error_columns(said, [Judged(10), Judged(99), Judged(None), Judged(None)])
    # when
    found = value("error.score_overestimate", table(columns))
    # then
    assert (found.value, found.n) == (0.5, 2)
    assert columns["category:unreadable"].sum() == 0


def test_christian_accuracy_is_not_had_by_always_saying_yes():
    # given nine Christian songs, one other, one of which nobody knows
    verified = [True] * 9 + [False, None]
    scores = table(christian_columns([Judged(100)] * 11, verified))
    # then
    assert value("christian_accuracy", scores).value == 0.9
    assert value("christian_sensitivity", scores).value == 1.0
    assert value("christian_specificity", scores).value == 0.0
    assert value("christian_specificity", scores).n == 1


def test_a_song_without_a_readable_score_is_wrong_either_way():
    scores = table(christian_columns([Judged(None), Judged(None)], [True, False]))
    assert value("christian_accuracy", scores).value == 0.0


def test_improvement_counts_score_and_verdict_and_no_change_of_ten_points():
    known = [Judged(80, "A")] * 5
    other = [Judged(60, "A"), Judged(60, "A"), Judged(80, "B"), Judged(80, "A"), Judged(None)]
    own = [Judged(70, "A"), Judged(71, "A"), Judged(80, "A"), Judged(65, "A"), Judged(80, "A")]
    # when
    columns = improvement_columns(own, other, known)
    # then
    assert columns["improvement"].tolist() == [0.1, 0.11, 1.0, -0.15, 2.0]
    assert columns["improved"].tolist() == [0, 1, 1, 0, 1]
    assert columns["worsened"].tolist() == [0, 0, 0, 1, 0]
    assert value("improved_share", table(columns)).value == 0.6
    assert value("worsened_share", table(columns)).value == 0.2


def test_improvement_over_oneself_is_none():
    same = [Judged(30, "A"), Judged(90, "B")]
    columns = improvement_columns(same, same, [Judged(50, "A"), Judged(None)])
    assert columns["improvement"].tolist() == [0, 0]
    assert columns["compared"].tolist() == [1, 0]


def test_systems_of_other_lengths_are_not_compared():
    with pytest.raises(ShapeError, match="1 judgements, 2 of the other"):
        improvement_columns([Judged(1)], [Judged(1), Judged(2)], [Judged(1)])


@pytest.mark.parametrize(
    ("gains", "losses", "p_value"),
    [(0, 0, 1.0), (5, 0, 0.5**5), (0, 5, 1.0), (8, 2, 56 / 1024), (5, 5, 0.623046875)],
)
def test_sign_test_is_the_binomial_tail_and_leaves_small_changes_out(gains, losses, p_value):
    found = sign_test(np.array([0.3] * gains + [-0.2] * losses + [0.1, -0.1, 0.0] * 7))
    assert (found.improved, found.worsened) == (gains, losses)
    assert found.p_value == pytest.approx(p_value)
    if gains + losses:
        told = binomtest(gains, gains + losses, alternative="greater")
        assert found.p_value == pytest.approx(told.pvalue)


def test_an_answer_with_several_claims_counts_once():
    # given
    found = [["theme", "scripture"], [], ["theme"], []]
    # when
    scores = table(hallucination_columns(found, [False, True, False, False]))
    # then
    assert value("hallucination_rate", scores).value == 0.5
    assert value("hallucination.theme", scores).value == 0.5
    assert value("hallucination.scripture", scores).value == 0.25
    assert value("hallucination.quote", scores).value == 0.0
    assert value("unjudged_claims", scores).value == 0.25
    names = {metric.name for metric in metrics_of(scores)}
    assert {f"hallucination.{kind}" for kind in KINDS} <= names


def test_probes_are_measured_by_category_and_one_probe_may_be_of_several():
    scores = table(probe_columns([{"a": True, "b": False}, {"a": False}, {"b": True}]))
    assert value("probe.a", scores).value == 0.5
    assert value("probe.b", scores).n == 2
