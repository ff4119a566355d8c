"""Diversity of words: equal to the plain count, with intervals that cover what they are of."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.data.words import words_of
from stillhouse.evals import diversity
from stillhouse.evals.bootstrap import Resampling, bootstrap, of_sums, ratio
from stillhouse.evals.compare import compare
from stillhouse.evals.diversity import NUM_WORDS, count_units, score_units, score_words
from stillhouse.evals.entropy import entropy
from stillhouse.evals.estimates import estimate_metric
from stillhouse.evals.gates import decide
from stillhouse.evals.linear import linear_of_sums
from stillhouse.evals.metrics import metric_by_name, metrics_of
from stillhouse.evals.scores import Scores, read_scores, write_scores
from stillhouse.evals.significance import swap_test
from stillhouse.recipes.gating import Gate, Rule

QUICK = Resampling(draws=200)


def scores_of(columns):
    (num_rows,) = {len(column) for column in columns.values()}
    return Scores(tuple(f"e{number}" for number in range(num_rows)), columns)


def value(scores, name):
    return estimate_metric(metric_by_name(name, scores), scores, QUICK).value


def naive(texts):
    words = [words_of(text)[:NUM_WORDS] for text in texts]
    single = Counter(word for own in words for word in own)
    pairs = Counter(pair for own in words for pair in pairwise(own))
    return single, pairs


@given(st.lists(st.text("ab 猫é", max_size=20), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_word_statistics_are_those_of_a_plain_count(texts):
    # given
    single, pairs = naive(texts)
    # when
    scores = scores_of(score_words(texts))
    found = {name: value(scores, name) for name in ("entropy", "distinct_1", "distinct_2")}
    # then
    expected = {
        "entropy": entropy(list(single.values())),
        "distinct_1": len(single) / single.total() if single else math.nan,
        "distinct_2": len(pairs) / pairs.total() if pairs else math.nan,
    }
    assert found == pytest.approx(expected, nan_ok=True, abs=1e-12)


def test_equal_texts_of_one_word_have_no_entropy_and_no_width():
    scores = scores_of(score_words(["same"] * 20))
    found = estimate_metric(metric_by_name("entropy", scores), scores, QUICK)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_one_text_has_a_value():
    assert value(scores_of(score_words(["a b c d"])), "distinct_1") == 1.0


def test_only_the_first_words_count_so_that_saying_more_is_not_more_varied():
    texts = ["a b"] * 10
    long = [text + " " + " ".join(["a b"] * NUM_WORDS) + " never counted" for text in texts]
    assert value(scores_of(score_words(long)), "entropy") == pytest.approx(math.log(2), abs=1e-3)


def test_several_answers_of_an_example_are_counted_each_and_never_joined():
    # given two answers of one example
    scores = scores_of(score_units([[["a", "b"], ["c"]], [["a"], []]], num_units=2))
    # then: a, b, c, a; the only pair is a b
    assert value(scores, "distinct_1") == pytest.approx(3 / 4)
    assert value(scores, "distinct_2") == pytest.approx(1.0)


def test_token_ids_are_units_too():
    scores = scores_of(score_units([[[5, 6]], [[5, 7]]], num_units=4))
    assert value(scores, "distinct_1") == pytest.approx(3 / 4)


def test_the_columns_survive_the_table_on_disk(tmp_path):
    scores = scores_of(score_words(["über 猫", "zwei drei"]))
    write_scores(tmp_path / "scores.parquet", scores)
    again = read_scores(tmp_path / "scores.parquet")
    assert value(again, "distinct_1") == value(scores, "distinct_1") == 1.0
    assert [metric.name for metric in metrics_of(again)] == ["entropy", "distinct_1", "distinct_2"]


def draw_texts(seed, num_texts=150):
    """Texts about one of 30 topics each, with the words of their topic."""
    draw = np.random.default_rng(seed)
    shares = 1 / np.arange(1, 301)
    shares /= shares.sum()
    topics = np.random.default_rng(999).permuted(np.tile(np.arange(2000), (30, 1)), axis=1)[:, :300]
    return [
        [draw.choice(topics[draw.integers(30)], size=draw.integers(8, 25), p=shares).tolist()]
        for _ in range(num_texts)
    ]


def test_a_collapsed_candidate_is_told_from_its_base_paired():
    # given a base, and a candidate whose answers are those of ten examples
    base = draw_texts(0)
    collapsed = [base[number % 10] for number in range(len(base))]
    own, other = scores_of(score_units(collapsed)), scores_of(score_units(base))
    # when
    metric = metric_by_name("entropy", own)
    found = compare(metric, own, other, "ratio", QUICK)
    itself = compare(metric, other, other, "ratio", QUICK)
    # then
    assert found.high < 0.9
    assert (itself.low, itself.high) == pytest.approx((1.0, 1.0))


def test_a_gate_passes_a_student_as_varied_as_its_base_and_refuses_a_collapsed_one():
    # given a rule on a tenth of the base's entropy
    rule = Rule(metric="entropy", against="teacher", relation="ratio", at_least=0.9)
    base = draw_texts(0)
    scores = {
        "teacher": scores_of(score_units(base)),
        "student": scores_of(score_units(draw_texts(1))),
        "collapsed": scores_of(score_units([base[number % 10] for number in range(len(base))])),
    }
    # when
    verdicts = {
        name: decide(Gate(rules=(rule,)), scores, name, QUICK).rules[0].decision for name in scores
    }
    # then
    assert verdicts == {"teacher": "pass", "student": "pass", "collapsed": "fail"}


def test_the_swap_test_finds_a_collapse_and_none_between_equals():
    base = draw_texts(0)
    collapsed = scores_of(score_units([base[number % 10] for number in range(len(base))]))
    own, other = scores_of(score_units(base)), scores_of(score_units(draw_texts(1)))
    metric = metric_by_name("entropy", own)

    def p_value(first, second):
        return swap_test(metric.columns(first), metric.columns(second), metric.statistic, QUICK)

    assert p_value(collapsed, own) < 0.02
    assert p_value(other, own) > 0.1
    assert p_value(own, own) == 1.0


@pytest.mark.long
@pytest.mark.parametrize("name", ["entropy", "distinct_1", "distinct_2"])
def test_intervals_cover_what_other_examples_would_give(name):
    # given the mean over many sets of examples
    def scores(seed):
        return scores_of(score_units(draw_texts(seed)))

    first = scores(0)
    truth = np.mean([value(scores(seed), name) for seed in range(200)])
    metric = metric_by_name(name, first)
    # when
    hits = 0
    for seed in range(1000, 1150):
        found = estimate_metric(metric, scores(seed), Resampling(draws=300))
        hits += found.low <= truth <= found.high
    # then
    print(f"{name}: {hits / 150:.3f} of 0.95")
    assert 0.88 <= hits / 150 <= 0.99


def test_a_linear_statistic_is_the_plain_bootstrap_where_the_statistic_is_linear():
    columns = np.stack([np.random.default_rng(0).normal(size=60), np.ones(60)], axis=1)
    made = bootstrap(columns, linear_of_sums(ratio), QUICK)
    plain = bootstrap(columns, of_sums(ratio), QUICK)
    assert (made.value, made.low, made.high) == pytest.approx((plain.value, plain.low, plain.high))


def test_a_long_table_is_counted_once_and_not_for_every_block_of_resamples(monkeypatch):
    # given more rows than one block of resamples holds
    generator = np.random.default_rng(3)
    own, other = (
        scores_of(score_words([f"w{word} v" for word in generator.integers(0, 50, 3000)]))
        for _ in range(2)
    )
    counted = []

    def count(*told):
        counted.append(told)
        return count_units(*told)

    monkeypatch.setattr(diversity, "count_units", count)

    estimate_metric(metric_by_name("entropy", own), own, Resampling())
    assert len(counted) <= 2
    compare(metric_by_name("entropy", own), own, other, "difference", Resampling())
    assert len(counted) <= 6
