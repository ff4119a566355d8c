"""An interval never reaches beyond what its number can be, and few examples widen it."""

import json
import math

import numpy as np
import pytest

from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.compare import compare
from stillhouse.evals.estimates import estimate_metric
from stillhouse.evals.fields import score_fields
from stillhouse.evals.metrics import metric_by_name
from stillhouse.evals.scores import Scores
from stillhouse.recipes.answers import AnswerKind

QUICK = Resampling(draws=400)
SAFETY = AnswerKind(kind="label", classes=("safe", "unsafe"), positive=("unsafe",))


def scores_of(columns):
    return Scores(tuple(map(str, range(len(next(iter(columns.values())))))), columns)


def score_labels(said, wanted):
    texts = ([json.dumps({"f": name}) for name in names] for names in (said, wanted))
    return scores_of(score_fields({"f": SAFETY}, *texts, as_objects=True))


def estimate(name, scores):
    return estimate_metric(metric_by_name(name, scores), scores, QUICK)


@pytest.mark.parametrize(
    ("num_positive", "num_all", "said", "value"),
    [(5, 50, "right", 1.0), (2, 50, "right", 1.0), (1, 6, "safe", 0.0), (1, 6, "unsafe", 2 / 7)],
)
def test_f1_of_few_positives_has_an_interval_on_its_scale(num_positive, num_all, said, value):
    wanted = ["unsafe"] * num_positive + ["safe"] * (num_all - num_positive)
    found = estimate("f1.f", score_labels(wanted if said == "right" else [said] * num_all, wanted))
    assert found.value == pytest.approx(value)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0
    assert found.high - found.low > 0.3


def test_one_group_of_paraphrases_has_an_interval_on_its_scale():
    columns = {"group_pairs_equal": np.array([2.0, 0.0]), "group_pairs": np.array([3.0, 0.0])}
    found = estimate("paraphrase_pairs", scores_of(columns))
    assert 0.0 <= found.low < found.value == pytest.approx(2 / 3) < found.high <= 1.0


def test_resamples_that_define_nothing_reach_to_the_ends_of_the_scale_and_no_further():
    # given six examples of which one alone is of the second class: a third of the resamples lack
    # it, and kappa is 0 / 0 there
    wanted = ["unsafe"] + ["safe"] * 5
    one, two = score_labels(wanted, wanted), score_labels(["safe", "unsafe", *wanted[2:]], wanted)
    # when
    found = estimate("kappa.f", one)
    difference = compare(metric_by_name("kappa.f", one), one, two, "difference", QUICK)
    quotient = compare(metric_by_name("f1.f", one), one, two, "ratio", QUICK)
    # then
    assert (found.low, found.value, found.high) == (-1.0, 1.0, 1.0)
    assert (difference.low, difference.high) == (-2.0, 2.0)
    assert quotient.low >= 0.0


def test_an_amount_without_an_upper_end_is_at_least_its_lower_end():
    scores = scores_of({"kl": np.array([0.5, 0.0]), "tokens": np.array([3.0, 0.0])})
    found = estimate("kl_to_teacher", scores)
    assert (found.low, found.high) == (0.0, math.inf)
