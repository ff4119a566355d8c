"""The gate decides by intervals, compares paired, and says when the data is too little."""

import numpy as np
import pytest

from stillhouse.core.errors import InputError
from stillhouse.evals.answers import score_agreement, score_objects, score_texts
from stillhouse.evals.bootstrap import Resampling, bootstrap, of_sums, ratio
from stillhouse.evals.compare import compare
from stillhouse.evals.estimates import estimate_metric
from stillhouse.evals.gates import decide
from stillhouse.evals.metrics import metric_by_name, metrics_of
from stillhouse.evals.scores import Scores, read_scores, write_scores
from stillhouse.recipes.gating import Gate, Rule


def scores_of(kl, *, exact=None):
    kl = np.asarray(kl, float)
    columns = {"tokens": np.ones_like(kl), "kl": kl, "nll": kl + 1.0}
    columns["exact"] = np.ones_like(kl) if exact is None else np.asarray(exact, float)
    return Scores(tuple(str(i) for i in range(len(kl))), columns)


def noisy(mean, spread, n, seed):
    return np.random.default_rng(seed).normal(mean, spread, n)


def gate_of(**rule):
    return Gate(rules=(Rule(**rule),))


def test_bootstrap_interval_covers_the_mean_as_often_as_it_says():
    # given many data sets of known mean
    hits = 0
    for seed in range(200):
        values = np.random.default_rng(seed).normal(1.0, 1.0, 80)
        columns = np.stack([values, np.ones(80)], axis=1)
        # when
        found = bootstrap(columns, of_sums(ratio), Resampling(draws=400, confidence=0.9, seed=seed))
        hits += found.low <= 1.0 <= found.high
    # then
    assert 0.84 <= hits / 200 <= 0.95


def test_bootstrap_value_is_the_ratio_of_sums_not_the_mean_of_ratios():
    columns = np.array([[1.0, 1.0], [0.0, 9.0]])
    assert bootstrap(columns, of_sums(ratio), Resampling(draws=100)).value == pytest.approx(0.1)


def test_gate_passes_when_the_whole_interval_is_on_the_right_side():
    scores = {"student": scores_of(noisy(0.01, 0.001, 200, 0))}
    verdict = decide(gate_of(metric="kl_to_teacher", at_most=0.02), scores, "student", Resampling())
    assert verdict.passed
    assert verdict.reasons == []


def test_gate_refuses_when_the_interval_touches_the_limit_and_says_how_many_would_be_enough():
    # given an estimate just below the limit, on few examples
    values = noisy(0.0, 1.0, 30, 1)
    values = values - values.mean() + 0.9
    # when
    verdict = decide(
        gate_of(metric="kl_to_teacher", at_most=1.0),
        {"student": scores_of(values)},
        "student",
        Resampling(),
    )
    # then: about n * (half width / room)^2, that is 30 * (0.36 / 0.1)^2
    (rule,) = verdict.rules
    assert rule.decision == "not enough data"
    assert not verdict.passed
    assert 150 < rule.n_enough < 1000
    assert "examples would decide" in rule.reason


def test_gate_by_point_takes_the_estimate_alone():
    values = noisy(0.0, 1.0, 30, 1)
    scores = {"student": scores_of(values - values.mean() + 0.9)}
    rule = {"metric": "kl_to_teacher", "at_most": 1.0, "decide_by": "point"}
    assert decide(gate_of(**rule), scores, "student", Resampling()).passed


def test_gate_fails_when_the_estimate_is_on_the_wrong_side():
    scores = {"student": scores_of(noisy(2.0, 0.1, 50, 3))}
    verdict = decide(gate_of(metric="kl_to_teacher", at_most=1.0), scores, "student", Resampling())
    assert verdict.rules[0].decision == "fail"


def test_rule_against_the_baseline_is_paired_and_refuses_the_baseline_itself():
    # given a student that is a tenth of a very noisy twin, example by example
    twin = np.abs(noisy(1.0, 3.0, 100, 4))
    scores = {"student": scores_of(twin / 10), "twin": scores_of(twin)}
    rule = {
        "metric": "kl_to_teacher",
        "against": "baseline",
        "relation": "ratio",
        "at_most": 0.2,
    }
    # when
    student = decide(gate_of(**rule), scores, "student", Resampling())
    itself = decide(gate_of(**rule), scores, "twin", Resampling())
    # then: paired, the ratio has no spread at all
    assert student.passed
    assert student.rules[0].high - student.rules[0].low < 1e-9
    assert not itself.passed


def test_comparison_refuses_scores_of_other_examples():
    first, second = scores_of([1.0, 2.0]), scores_of([1.0, 2.0, 3.0])
    metric = metric_by_name("kl_to_teacher", first)
    with pytest.raises(InputError, match="different examples"):
        compare(metric, first, second, "difference", Resampling())


def test_unknown_metric_names_the_nearest():
    with pytest.raises(InputError, match='did you mean "exact_match"') as caught:
        metric_by_name("exact_mach", scores_of([1.0]))
    assert caught.value.exit_code == 2


def test_unknown_candidate_names_those_there_are():
    with pytest.raises(InputError, match="candidates: student"):
        decide(
            gate_of(metric="kl_to_teacher", at_most=1.0),
            {"student": scores_of([1])},
            "x",
            Resampling(),
        )


def test_rule_against_a_twin_that_was_not_trained_says_how_to_get_one():
    rule = {"metric": "kl_to_teacher", "against": "baseline", "at_most": 0.0}
    with pytest.raises(InputError, match=r"train\.twin"):
        decide(gate_of(**rule), {"student": scores_of([1.0])}, "student", Resampling())


def of_production(**rule):
    return {"metric": "kl_to_teacher", "against": "production", "relation": "ratio"} | rule


def test_a_rule_against_production_is_not_asked_while_no_version_is():
    gate = Gate(
        rules=(Rule(**of_production(at_most=1.0)), Rule(metric="exact_match", at_least=0.5))
    )
    verdict = decide(gate, {"student": scores_of([1.0] * 50)}, "student", Resampling())

    waits, asked = verdict.rules
    assert (waits.decision, waits.value, waits.n) == ("not asked", None, 0)
    assert waits.text == "kl_to_teacher over the production's at most 1"
    assert waits.reason == "no version in production yet"
    assert (asked.decision, verdict.passed, verdict.num_not_asked) == ("pass", True, 1)


def test_a_rule_that_is_not_asked_saves_nobody_from_another():
    gate = Gate(
        rules=(Rule(**of_production(at_most=1.0)), Rule(metric="exact_match", at_least=0.5)),
        fallback="production",
    )
    scores = {"student": scores_of([1.0] * 50, exact=np.zeros(50))}
    verdict = decide(gate, scores, "student", Resampling())

    assert not verdict.passed
    assert len(verdict.reasons) == 1
    assert verdict.reasons[0].startswith("exact_match at least 0.5: ")
    assert verdict.fallback == "production (no version in production yet)"


def test_a_version_in_production_is_compared_with_as_soon_as_it_is_measured():
    scores = {"student": scores_of([1.0] * 50), "production": scores_of([0.5] * 50)}
    gate = Gate(rules=(Rule(**of_production(at_most=1.5)),), fallback="production")
    verdict = decide(gate, scores, "student", Resampling())

    assert [(rule.decision, rule.value) for rule in verdict.rules] == [("fail", 2.0)]
    assert (verdict.num_not_asked, verdict.fallback) == (0, "production")


def test_perplexity_is_the_exponential_of_cross_entropy():
    scores = scores_of([0.5, 1.5])
    one = estimate_metric(metric_by_name("cross_entropy", scores), scores, Resampling(draws=100))
    two = estimate_metric(metric_by_name("perplexity", scores), scores, Resampling(draws=100))
    assert two.value == pytest.approx(np.exp(one.value))


def test_json_answers_are_compared_field_by_field_whatever_their_order():
    found = score_objects(
        ['{"b":2,"a":1}', '{"a":1,"b":3}', "not json", '["a"]', '{"a":1}'],
        ['{"a":1,"b":2}'] * 5,
    )
    assert found["exact"].tolist() == [1, 0, 0, 0, 0]
    assert found["valid_json"].tolist() == [1, 1, 0, 0, 1]
    assert found["fields_right"].tolist() == [2, 1, 0, 0, 1]
    assert found["field:b"].tolist() == [1, 0, 0, 0, 0]
    assert found["fields"].tolist() == [2] * 5


def test_text_answers_ignore_blanks_at_the_ends_and_a_missing_reference_is_never_right():
    assert score_texts([" a", "b", ""], ["a ", "c", None])["exact"].tolist() == [1, 0, 0]


def test_agreement_counts_equal_invalid_answers_as_equal():
    found = score_agreement(["x", '{"a":1}'], ["x", '{ "a": 1}'], as_objects=True)
    assert found["agreement"].tolist() == [1, 1]


def test_scores_survive_the_disk(tmp_path):
    scores = scores_of([0.1, 0.2], exact=[0, 1])
    write_scores(tmp_path / "s.parquet", scores)
    back = read_scores(tmp_path / "s.parquet")
    assert back.example_ids == scores.example_ids
    assert {m.name for m in metrics_of(back)} == {m.name for m in metrics_of(scores)}
    np.testing.assert_array_equal(back.columns["kl"], scores.columns["kl"])


@pytest.mark.parametrize(("rate", "low", "high"), [(1.0, 0.1581, 1.0), (0.0, 0.0, 0.8419)])
def test_two_examples_that_agree_prove_little(rate, low, high):
    # the exact bound: 0.025 ** (1 / 2) = 0.158
    scores = scores_of([1.0, 1.0], exact=[rate, rate])
    found = estimate_metric(metric_by_name("exact_match", scores), scores, Resampling())
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
    verdict = decide(
        gate_of(metric="exact_match", at_least=0.95), {"student": scores}, "student", Resampling()
    )
    assert not verdict.passed


def test_three_hundred_that_agree_pass_a_limit_below_the_exact_bound():
    scores = {"student": scores_of(np.ones(300))}
    verdict = decide(gate_of(metric="exact_match", at_least=0.95), scores, "student", Resampling())
    assert verdict.passed
    strict = decide(gate_of(metric="exact_match", at_least=1.0), scores, "student", Resampling())
    assert strict.rules[0].decision == "not enough data"


@pytest.mark.parametrize(
    ("n", "margin", "by", "decision"),
    [
        (2, -0.5, "confidence", "not enough data"),
        (20, -0.2, "confidence", "pass"),
        (200, 0.0, "confidence", "not enough data"),
        (2, 0.0, "point", "pass"),
    ],
)
def test_a_student_that_equals_its_teacher_is_as_good_within_what_so_few_can_show(
    n, margin, by, decision
):
    scores = {who: scores_of(np.ones(n)) for who in ("student", "teacher")}
    rule = {"metric": "exact_match", "against": "teacher", "at_least": margin, "decide_by": by}
    (said,) = decide(gate_of(**rule), scores, "student", Resampling()).rules
    assert said.decision == decision
    assert said.low < 0 < said.high


def test_a_ratio_to_almost_nothing_has_no_upper_bound():
    # given a twin whose divergence comes from one example of 300: many resamples divide by 0
    twin = scores_of([1.0, *[0.0] * 299])
    scores = {"student": scores_of(np.ones(300)), "twin": twin}
    rule = {"metric": "kl_to_teacher", "against": "baseline", "relation": "ratio", "at_most": 400.0}
    # when
    (said,) = decide(gate_of(**rule), scores, "student", Resampling()).rules
    # then
    assert said.decision == "not enough data"
    assert said.high is None


def test_nothing_over_nothing_fails_in_words_and_survives_json():
    scores = {
        "student": scores_of([1.0, 1.0], exact=[0, 0]),
        "twin": scores_of([1.0, 1.0], exact=[0, 0]),
    }
    rule = {"metric": "exact_match", "against": "baseline", "relation": "ratio", "at_least": 1.0}
    verdict = decide(gate_of(**rule), scores, "student", Resampling())
    assert verdict.rules[0].decision == "fail"
    assert "cannot be computed" in verdict.rules[0].reason
    assert type(verdict).model_validate_json(verdict.model_dump_json()) == verdict


def test_json_compares_numbers_as_numbers_and_truth_as_truth():
    found = score_objects(['{"a":1.0}', '{"a":true}', "[" * 5000], ['{"a":1}'] * 3)
    assert found["exact"].tolist() == [1, 0, 0]
    assert found["field:a"].tolist() == [1, 0, 0]
