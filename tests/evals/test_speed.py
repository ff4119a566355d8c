"""Latencies are what numpy says of the timed requests, and no other example counts."""

from __future__ import annotations

import numpy as np
import pytest

from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.estimates import estimate_metric
from stillhouse.evals.metrics import metric_by_name
from stillhouse.evals.scores import Scores
from stillhouse.evals.speed import percentile


@pytest.fixture
def scores():
    generator = np.random.default_rng(3)
    timed = (np.arange(50) < 20).astype(float)
    seconds = generator.gamma(2.0, 0.1, 50) * timed
    columns = {"timed": timed, "latency_s": seconds, "batch_s": seconds / 4}
    columns |= {"size_bytes": np.full(50, 1_803_552_123.0)}
    return Scores(tuple(map(str, range(50))), columns)


@pytest.mark.parametrize(("name", "share"), [("latency_p50_s", 50), ("latency_p95_s", 95)])
def test_percentiles_are_numpys_of_the_timed_requests(scores, name, share):
    found = estimate_metric(metric_by_name(name, scores), scores, Resampling(draws=200))

    timed = scores.column("latency_s")[:20]
    assert found.value == pytest.approx(np.percentile(timed, share), rel=1e-12)
    assert found.low < found.value < found.high
    assert found.n == 20


def test_a_weighted_percentile_is_that_of_the_rows_written_out():
    generator = np.random.default_rng(0)
    columns = np.stack([generator.integers(0, 6, 30), generator.integers(0, 2, 30)], 1).astype(
        float
    )
    weights = generator.integers(0, 3, (40, 30)).astype(float)

    for share in (0.0, 0.25, 0.95, 1.0):
        found = percentile(share)(columns, weights)
        for own, value in zip(weights, found, strict=True):
            rows = np.repeat(columns[:, 0], (own * columns[:, 1]).astype(int))
            assert value == pytest.approx(np.percentile(rows, 100 * share), rel=1e-12)


def test_no_timed_request_in_a_resample_is_no_number():
    columns = np.array([[1.0, 1.0], [0.0, 0.0]])
    found = percentile(0.5)(columns, np.array([[1.0, 1.0], [0.0, 2.0]]))
    assert found[0] == 1.0
    assert np.isnan(found[1])


def test_an_exact_size_has_an_interval_without_width(scores):
    found = estimate_metric(metric_by_name("size_bytes", scores), scores, Resampling(draws=200))
    assert found.value == found.low == found.high == 1_803_552_123.0


def test_throughput_counts_answers_side_by_side(scores):
    found = estimate_metric(
        metric_by_name("throughput_per_minute", scores), scores, Resampling(draws=200)
    )
    assert found.value == pytest.approx(60 * 20 / scores.column("batch_s").sum())
