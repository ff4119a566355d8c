"""A training that is watched measures what `evaluate` measures, and can stop by it."""

import json
import re
from pathlib import Path

import pytest

import stillhouse
from stillhouse.core.kd_metrics import KD_METRICS, KdMetrics
from stillhouse.core.protocols import no_progress
from stillhouse.report.content import RunReport
from stillhouse.runner.opening import open_recipe
from stillhouse.runner.resolve import resolve
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.evaluate import run as evaluate
from stillhouse.store.artifacts import ArtifactStore

pytestmark = pytest.mark.xdist_group("e2e")
RECIPE = str(Path(__file__).resolve().parents[2] / "docs" / "how-to" / "watched.yaml")


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """The finished run of the recipe of the page on watching: its artifacts, and the runs."""
    root = tmp_path_factory.mktemp("watched-runs")
    status = stillhouse.run(RECIPE, stillhouse.Call(runs=str(root)))
    store = ArtifactStore(root / "artifacts")
    return {item.key: store.path(item.artifact_id) for item in status.stages}, root


@pytest.fixture(scope="module")
def found(watched, tmp_path_factory):
    """Of student and twin: the record, the summary, and a whole evaluation on the same part."""
    folders, _ = watched
    loaded, recipe = open_recipe(RECIPE)
    plan = resolve(loaded, recipe).plan
    made = {}
    for name in ("student", "twin"):
        folder, work = folders[f"train@{name}"], tmp_path_factory.mktemp(name)
        config = plan[f"evaluate@{name}"].config | {"part": "validation"}
        inputs = {"examples": folders["prepare"], "model": folder}
        request = StageRequest("evaluate", name, "evaluate-x", config, inputs, work, work)
        values = evaluate(request, no_progress).summary["metrics"]
        summary = json.loads((folder / "manifest.json").read_bytes())["summary"]
        record = KdMetrics.model_validate_json((folder / KD_METRICS).read_bytes())
        best = next(one for one in record.validation if one.step == summary["best_step"])
        made[name] = best, {metric: one["value"] for metric, one in values.items()}, record
    return made


TEXT = ("exact_match", "valid_json", "field_accuracy", "field_accuracy.intent")
TOKENS = ("cross_entropy", "perplexity", "answer_token_accuracy")


def test_answers_are_measured_as_evaluate_measures_them(found):
    for best, expected, _ in found.values():
        assert {name: best.metrics[name] for name in TEXT} == pytest.approx(
            {name: expected[name] for name in TEXT}
        )


def test_tokens_of_gold_text_are_measured_as_evaluate_measures_them(found):
    best, expected, _ = found["twin"]
    measured = best.metrics | best.terms
    assert {name: measured[name] for name in TOKENS} == pytest.approx(
        {name: expected[name] for name in TOKENS}, rel=1e-5
    )


def test_the_student_is_compared_with_its_teacher_and_the_twin_with_nobody(found):
    of_teacher = {"agreement", "top1_agreement", "kl_to_teacher"}
    assert of_teacher <= found["student"][0].metrics.keys()
    assert not of_teacher & found["twin"][0].metrics.keys()
    # at temperature 1 the divergence is the loss term itself, with the tail as one entry
    best = found["student"][0]
    assert best.metrics["kl_to_teacher"] == pytest.approx(best.terms["forward_kl"], rel=1e-4)


def test_every_part_of_the_examples_is_told_by_itself(found):
    parts = [name for name in found["student"][0].metrics if name.startswith("exact_match@")]
    assert len(parts) >= 2
    assert all(name.startswith("exact_match@truth.urgency=") for name in parts)


def test_the_student_stops_by_its_metric_and_the_twin_by_its_loss(found):
    best, _, record = found["student"]
    assert best.metrics["top1_agreement"] == max(
        one.metrics["top1_agreement"] for one in record.validation
    )
    best, _, record = found["twin"]
    assert best.loss == min(one.loss for one in record.validation)


def test_the_report_draws_what_was_examined(watched):
    _, root = watched
    page = (root / "watched" / "report.html").read_text(encoding="utf-8")
    data = re.search(r'id="report-data"[^>]*>(.*?)</script>', page, re.S)
    curves = RunReport.model_validate_json(data.group(1)).curves
    drawn = {(curve.of, curve.name, curve.kind) for curve in curves if curve.points}
    assert {
        ("Loss", "student", "train"),
        ("Loss", "twin", "validation"),
        ("top1_agreement", "student", "validation"),
        ("exact_match", "twin", "validation"),
        ("Peak memory", "student", "train"),
    } <= drawn
    assert ("top1_agreement", "twin", "validation") not in drawn


def test_seconds_and_memory_of_each_step_lie_beside_the_artifact(watched):
    folders, root = watched
    store = ArtifactStore(root / "artifacts")
    series = store.read_series(folders["train@student"].name)
    assert len(series["seconds"]) == len(series["peak_rss_bytes"]) == len(series["step"]) >= 40
    assert store.read_measured(folders["train@student"].name).keys() == {"seconds", "peak_bytes"}


def test_a_tracker_hears_every_training_and_is_in_no_hash(watched):
    folders, root = watched
    heard = {path.name for path in (root / "watched" / "tensorboard").iterdir()}
    assert heard == {"finetune", "train-student", "train-twin"}
    loaded, recipe = open_recipe(RECIPE, ["report_to=[]"])
    for instance in resolve(loaded, recipe).plan.instances:
        assert folders[instance.key].name == instance.artifact_id


def test_the_page_says_how_long_each_training_is(watched):
    folders, _ = watched
    summary = json.loads((folders["finetune"] / "manifest.json").read_bytes())["summary"]
    assert summary["steps"] == 60
    assert summary["loss"].startswith("falls from")
