"""Two candidates of any name are compared in one record; slices and folds are judged with care."""

import math

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from stillhouse.core.errors import InputError
from stillhouse.evals.bootstrap import Estimate, Resampling
from stillhouse.evals.compare import Asking, compare, compare_candidates, shares_unit, word_for
from stillhouse.evals.estimates import estimate_metric
from stillhouse.evals.folds import summarise_folds
from stillhouse.evals.metric import Metric
from stillhouse.evals.metrics import metric_by_name
from stillhouse.evals.scores import Scores
from stillhouse.evals.significance import mcnemar
from stillhouse.evals.slice_compare import compare_on_slices
from stillhouse.evals.slices import Slice, on_slice, slice_names

QUICK = Resampling(draws=300)
NAMES = ("teacher", "student", "twin", "baseline", "production", "exported")


def scores_of(exact, kl=None, slices=None):
    exact = np.asarray(exact, float)
    columns = {"exact": exact}
    if kl is not None:
        columns |= {"kl": np.asarray(kl, float), "tokens": np.ones(len(exact))}
    columns |= {f"slice:{name}": np.asarray(each, float) for name, each in (slices or {}).items()}
    return Scores(tuple(map(str, range(len(exact)))), columns)


@pytest.mark.parametrize("first", NAMES)
def test_any_two_candidates_give_one_record(first):
    candidates = {name: scores_of(np.arange(40) < 30 + place) for place, name in enumerate(NAMES)}
    second = NAMES[0] if first != NAMES[0] else NAMES[-1]
    found = compare_candidates("exact_match", candidates, (first, second), QUICK)
    assert (found.first, found.second, found.effect.n) == (first, second, 40)
    assert found.effect.low <= found.effect.value <= found.effect.high
    lead = abs(NAMES.index(first) - NAMES.index(second))
    assert abs(found.effect.value) == pytest.approx(lead / 40)
    assert found.p_value == pytest.approx(mcnemar(0, lead).mid_p)


def test_a_difference_of_means_is_tested_by_swaps_and_agrees_with_its_interval():
    generator = np.random.default_rng(0)
    hard = generator.exponential(1, 60)
    candidates = {
        "student": scores_of(np.ones(60), kl=hard),
        "twin": scores_of(np.ones(60), kl=hard + generator.normal(0.5, 0.3, 60)),
    }
    found = compare_candidates("kl_to_teacher", candidates, ("student", "twin"), QUICK)
    assert found.test == "paired permutation"
    assert found.p_value == pytest.approx(1 / 10_001)
    assert found.word == "superior"


def test_a_candidate_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(InputError, match="candidates: student"):
        compare_candidates("exact_match", {"student": scores_of([1])}, ("student", "twin"), QUICK)


HIGHER = Metric("m", "M", "higher", "M.", ("exact", "count"))
LOWER = Metric("m", "M", "lower", "M.", ("exact", "count"))


@pytest.mark.parametrize(
    ("metric", "low", "high", "relation", "margin", "word"),
    [
        (HIGHER, 0.01, 0.2, "difference", 0.0, "superior"),
        (HIGHER, -0.01, 0.2, "difference", 0.0, "undecided"),
        (HIGHER, -0.01, 0.2, "difference", 0.05, "non-inferior"),
        (HIGHER, -0.05, 0.2, "difference", 0.05, "undecided"),
        (HIGHER, -0.2, -0.06, "difference", 0.05, "inferior"),
        (HIGHER, -0.2, -0.01, "difference", 0.05, "undecided"),
        (HIGHER, -0.2, -0.01, "difference", 0.0, "inferior"),
        (LOWER, -0.2, -0.01, "difference", 0.0, "superior"),
        (LOWER, -0.2, 0.04, "difference", 0.05, "non-inferior"),
        (LOWER, 0.06, 0.2, "difference", 0.05, "inferior"),
        (HIGHER, 0.96, 1.2, "ratio", 0.05, "non-inferior"),
        (HIGHER, 0.94, 1.2, "ratio", 0.05, "undecided"),
        (HIGHER, 1.01, 1.2, "ratio", 0.05, "superior"),
        (LOWER, 0.5, 0.9, "ratio", 0.0, "superior"),
        (LOWER, 1.2, math.inf, "ratio", 0.0, "inferior"),
    ],
)
def test_one_word_says_what_an_interval_shows(metric, low, high, relation, margin, word):
    effect = Estimate((low + min(high, 9.0)) / 2, low, high, 100)
    assert word_for(metric, effect, Asking(relation, margin)) == word


def test_fewer_than_the_least_n_are_not_judged():
    candidates = {"student": scores_of([1.0] * 9), "twin": scores_of([0.0] * 9)}
    found = compare_candidates("exact_match", candidates, ("student", "twin"), QUICK)
    assert (found.word, found.test) == ("not enough data", "none")
    assert math.isnan(found.p_value)


def test_two_precisions_count_other_examples_and_are_joined_from_both_exact_intervals():
    # given predictions of a class on other examples, all of them right
    def precision(units):
        columns = {"field:f": np.asarray(units, float), "field_asked:f": np.asarray(units, float)}
        return Scores(tuple(map(str, range(40))), columns)

    one, two = precision(np.arange(40) < 20), precision(np.arange(40) >= 10)
    metric = metric_by_name("field_accuracy.f", one)
    # when
    difference = compare(metric, one, two, "difference", QUICK)
    quotient = compare(metric, one, two, "ratio", QUICK)
    # then: with half of the doubt each, 1 - 0.0125 ** (1 / 20) below and ** (1 / 30) above
    assert difference.low == pytest.approx(0.0125 ** (1 / 20) - 1)
    assert difference.high == pytest.approx(1 - 0.0125 ** (1 / 30))
    assert (difference.value, difference.n) == (0.0, 20)
    assert quotient.low == pytest.approx(0.0125 ** (1 / 20))
    assert quotient.high == pytest.approx(1 / 0.0125 ** (1 / 30))


def test_a_fraction_with_several_units_an_example_is_resampled_by_example():
    # given 30 examples that have all of three right, or none
    units = np.full(30, 3.0)
    scores = Scores(
        tuple(map(str, range(30))),
        {"field:f": units * (np.arange(30) < 15), "field_asked:f": units},
    )
    metric = metric_by_name("field_accuracy.f", scores)
    found = compare(metric, scores, scores, "difference", QUICK)
    assert (found.value, found.n) == (0.0, 90)
    # as wide as 30 that agree allow, not as 90
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 30))


def test_slices_have_their_own_n_and_corrected_p_values_and_a_small_one_is_named():
    # given two large slices and a small one, in which the student loses
    n = 124
    place = np.arange(n)
    slices = {
        "genre=a": place < 60,
        "genre=b": (place >= 60) & (place < 120),
        "genre=c": place >= 120,
    }
    student = scores_of(np.where(place < 20, 0, 1), slices=slices)
    twin = scores_of(np.where((place >= 60) & (place < 66), 0, 1), slices=slices)
    # when
    found = compare_on_slices(
        ["exact_match"], {"student": student, "twin": twin}, ("student", "twin"), "genre", QUICK
    )
    # then
    assert [(one.name, one.num_examples) for one in found] == [("a", 60), ("b", 60), ("c", 4)]
    assert [one.comparison.word for one in found] == ["inferior", "superior", "not enough data"]
    assert [one.own.value for one in found] == [pytest.approx(40 / 60), 1.0, 1.0]
    p_values = [one.comparison.p_value for one in found[:2]]
    assert p_values == pytest.approx([mcnemar(0, 20).mid_p, mcnemar(6, 0).mid_p])
    theirs = multipletests(p_values, method="holm")[1].tolist()
    assert [one.p_adjusted for one in found[:2]] == pytest.approx(theirs)
    assert math.isnan(found[2].p_adjusted)


def test_other_correction_over_several_metrics():
    n = 60
    slices = {"genre=a": np.ones(n)}
    candidates = {
        "student": scores_of(np.arange(n) < 50, kl=np.linspace(0, 1, n), slices=slices),
        "twin": scores_of(np.arange(n) < 40, kl=np.linspace(0, 2, n), slices=slices),
    }
    found = compare_on_slices(
        ["exact_match", "kl_to_teacher"], candidates, ("student", "twin"), "genre", QUICK,
        Asking(correction="benjamini-hochberg"),
    )  # fmt: skip
    p_values = [one.comparison.p_value for one in found]
    theirs = multipletests(p_values, method="fdr_bh")[1].tolist()
    assert [one.p_adjusted for one in found] == pytest.approx(theirs)


def test_a_part_holds_its_examples_with_all_their_columns():
    scores = scores_of([1, 0, 1], slices={"genre=a": [1, 0, 1], "genre=b=c": [0, 1, 0]})
    assert slice_names(scores, "genre") == ["a", "b=c"]
    part = on_slice(scores, Slice("genre", "a"))
    assert part.example_ids == ("0", "2")
    assert part.columns["exact"].tolist() == [1, 1]
    assert on_slice(scores, Slice("genre", "b=c")).example_ids == ("1",)


def fold(start, exact):
    ids = tuple(str(start + place) for place in range(len(exact)))
    return Scores(ids, {"exact": np.asarray(exact, float)})


def test_folds_give_mean_and_deviation_each_fold_counting_once():
    found = summarise_folds(
        "exact_match", [fold(0, [1, 1]), fold(2, [1, 0, 0, 0]), fold(6, [1, 0])]
    )
    assert found.values == (1.0, 0.25, 0.5)
    assert found.mean == pytest.approx(1.75 / 3)
    assert found.deviation == pytest.approx(np.std([1.0, 0.25, 0.5], ddof=1))
    assert found.n == 8


@pytest.mark.parametrize(
    ("folds", "words"),
    [
        ([fold(0, [1, 1])], "1 fold cannot be averaged"),
        ([fold(0, [1, 1]), fold(1, [1])], "example 1 is in folds 1 and 2"),
        ([fold(0, [1, 1]), fold(2, [])], "fold 2 holds no examples"),
    ],
)
def test_folds_that_are_none_are_refused(folds, words):
    with pytest.raises(InputError, match=words):
        summarise_folds("exact_match", folds)


def test_a_mean_over_tokens_is_compared_over_the_same_tokens_alone():
    nll, size = np.array([2.0, 4.0, 3.0]), np.array([10.0, 20.0, 15.0])
    own, same, other = (
        Scores(tuple("abc"), {"nll": nll, "tokens": np.array(tokens), "bytes": size})
        for tokens in ([2.0, 4.0, 3.0], [2.0, 4.0, 3.0], [2.0, 5.0, 3.0])
    )
    resampling = Resampling(50, 0.95, 0)

    assert shares_unit("perplexity", own, same)
    assert not shares_unit("perplexity", own, other)
    assert shares_unit("bits_per_byte", own, other)
    with pytest.raises(InputError, match=r"perplexity is a mean over tokens"):
        compare(metric_by_name("perplexity", own), own, other, "difference", resampling)
    found = compare(metric_by_name("bits_per_byte", own), own, other, "difference", resampling)
    assert found.value == 0


def test_bits_per_byte_are_the_nats_of_all_answers_by_their_bytes():
    scores = Scores(
        ("a", "b"), {"nll": np.array([3.0, 1.0]), "tokens": np.ones(2), "bytes": np.array([4, 12])}
    )
    found = estimate_metric(
        metric_by_name("bits_per_byte", scores), scores, Resampling(50, 0.95, 0)
    )

    assert found.value == pytest.approx((3.0 + 1.0) / math.log(2) / 16)
