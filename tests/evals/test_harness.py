"""Results of lm-evaluation-harness become scores with intervals, pairs and honest notes."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest

from stillhouse.core.errors import InputError
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.compare import compare
from stillhouse.evals.estimates import estimate_metric
from stillhouse.evals.harness import read_results
from stillhouse.evals.metrics import metric_by_name
from stillhouse.evals.proportions import exact_interval

FEW = Resampling(draws=200)


@pytest.fixture(scope="module")
def results():
    """What version 0.4.13 told of two tasks in a group, shortened: `simple_evaluate`'s results."""
    return json.loads((Path(__file__).parent / "harness_results.json").read_text())


def told(results, task, key):
    return results["results"][task][key]


def test_a_row_is_a_document_and_a_mean_of_documents_has_an_exact_interval(results):
    found = read_results(results)

    assert len(found.scores) == sum(len(own) for own in results["samples"].values()) - 4
    assert len(set(found.scores.example_ids)) == len(found.scores)
    metric = metric_by_name("harness.sky.acc", found.scores)
    estimate = estimate_metric(metric, found.scores, FEW)
    assert estimate.n == 6
    assert estimate.value == pytest.approx(told(results, "sky", "acc,none"))
    assert (estimate.low, estimate.high) == exact_interval(6 * estimate.value, 6, FEW.confidence)
    assert metric.better == "higher"


def test_a_group_rests_on_all_documents_of_its_tasks(results):
    scores = read_results(results).scores

    metric = metric_by_name("harness.weather.acc", scores)
    assert metric.num_counted(scores) == 10
    value = estimate_metric(metric, scores, FEW).value
    assert value == pytest.approx(told(results, "weather", "acc,none"))


def test_what_is_no_mean_of_documents_is_the_harnesses_own_number(results):
    found = read_results(results)

    for name in ("sky.f1", "next.perplexity"):
        task, _, measure = name.partition(".")
        value = told(results, task, f"{measure},none")
        estimate = estimate_metric(
            metric_by_name(f"harness.{name}", found.scores), found.scores, FEW
        )
        assert estimate.value == pytest.approx(value)
        assert estimate.low == pytest.approx(estimate.high)
        error = told(results, task, f"{measure}_stderr,none")
        assert f"standard error {error:.3g}" in found.notes[name]
    assert "sky.acc" not in found.notes
    assert metric_by_name("harness.next.perplexity", found.scores).better == "lower"


def test_each_filter_of_an_answer_has_its_own_name(results):
    scores = read_results(results).scores

    strict = metric_by_name("harness.spell.exact_match.strict", scores)
    assert strict.num_counted(scores) == 4
    assert strict.is_fraction


def test_a_number_that_is_none_is_named_and_has_no_column(results):
    broken = copy.deepcopy(results)
    broken["results"]["sky"]["f1,none"] = float("nan")

    found = read_results(broken)

    assert found.undefined == ("sky.f1",)
    assert not any(name.endswith("sky.f1") for name in found.scores.columns)
    assert all(np.isfinite(values).all() for values in found.scores.columns.values())


def test_candidates_are_paired_by_document_and_never_over_another_data_set(results):
    better = copy.deepcopy(results)
    for sample in better["samples"]["sky"]:
        sample["acc"] = 1.0
    better["results"]["sky"]["acc,none"] = 1.0
    own, other = read_results(better).scores, read_results(results).scores
    metric = metric_by_name("harness.sky.acc", own)

    gap = compare(metric, own, other, "difference", FEW)

    assert gap.value == pytest.approx(1.0 - told(results, "sky", "acc,none"))
    assert gap.n == 6
    better["samples"]["sky"][0]["doc_hash"] = "another"
    with pytest.raises(InputError, match="measured on different examples"):
        compare(metric, read_results(better).scores, other, "difference", FEW)


def test_no_document_is_no_result(results):
    empty = results | {"samples": {"sky": []}, "results": {}}
    with pytest.raises(InputError, match="have no example"):
        read_results(empty)
