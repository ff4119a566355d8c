"""What an evaluation says is read again whole, and so is what an older one said."""

from __future__ import annotations

from stillhouse.evals.summary import EvaluationSummary, SliceSummary, Speed


def test_a_summary_without_the_newer_keys_is_read():
    metric = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 20, "title": "Exact match",
              "better": "higher", "unit": "", "note": ""}  # fmt: skip

    summary = EvaluationSummary.model_validate(
        {"examples": 20, "cut": 1, "metrics": {"exact_match": metric}}
    )

    assert summary.metrics["exact_match"].value == 0.5
    assert summary.slices == ()
    assert summary.size is None


def test_a_speed_survives_among_the_other_measurements():
    speed = Speed(latency_n=3, latency_mean_s=0.25, latency_p95_s=0.5)

    measured = {"seconds": 3.0, "peak_bytes": 1e9} | speed.as_measured()

    assert Speed.from_measured(measured) == speed
    assert Speed.from_measured({"seconds": 3.0}) is None


def test_a_small_or_undefined_slice_is_not_enough():
    facts = {"kind": "genre", "name": "folk", "metric": "exact_match"}

    assert SliceSummary(**facts, n=30, value=0.5, low=0.3, high=0.7).is_enough
    assert not SliceSummary(**facts, n=29, value=0.5, low=0.3, high=0.7).is_enough
    assert not SliceSummary(**facts, n=100).is_enough
