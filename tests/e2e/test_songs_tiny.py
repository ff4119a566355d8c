"""The tiny profile of songs: from noisy annotations to an analyzer that agrees with its teacher."""

from __future__ import annotations

import json

import pytest
from tests.e2e.profiles import run_tiny

import stillhouse
from stillhouse.tasks.songs.analyzer import Analyzer, GPTOSSChristianAnalyzer
from stillhouse.tasks.songs.rows import generate_rows

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("songs-tiny")]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return run_tiny("songs", tmp_path_factory.mktemp("songs"))


def test_the_student_agrees_with_its_teacher_and_every_gate_passes(tiny):
    for who in ("student", "exported"):
        assert tiny.metric(who, "score_verdict_agreement") >= 0.9
        assert tiny.metric(who, "accuracy.verdict") >= 0.85
    assert tiny.holds_every_verdict()
    assert [stage.key for stage in tiny.status.stages][-1] == "register"


def test_it_is_nearer_to_the_teacher_than_its_twin_at_equal_steps(tiny):
    steps = [tiny.summary(f"train@{who}")["steps"] for who in ("student", "twin")]
    assert steps[0] == steps[1]
    student, twin = (tiny.metric(who, "score_verdict_agreement") for who in ("student", "twin"))
    assert student > twin


def test_what_it_replaces_stands_beside_it_in_quality_speed_and_cost(tiny):
    right = {who: tiny.metric(who, "accuracy.verdict") for who in ("student", "four_models")}
    assert right["student"] > right["four_models"] + 0.1
    costs = stillhouse.read_report("songs-tiny", str(tiny.root)).costs
    each = {one.candidate: one for one in costs.candidates}
    assert (each["four_models"].usd_per_thousand, each["student"].usd_per_thousand) == (5, 0)
    assert (costs.baseline, costs.saved_usd_per_thousand, costs.spent_usd) == ("four_models", 5, 0)
    assert each["four_models"].seconds_per_thousand > 0
    assert each["student"].seconds_per_thousand > 0


def test_the_teacher_was_tuned_in_a_low_rank(tiny):
    manifest = json.loads((tiny.folders["finetune"] / "manifest.json").read_bytes())
    assert manifest["config"]["training"]["optimizer"]["name"] == "galore_adamw"
    assert tiny.summary("label")["class_examples"] > 1000


def test_the_registered_version_analyses_songs_that_nobody_has_seen(tiny):
    analyzer = GPTOSSChristianAnalyzer.of_version("songs-tiny", runs=tiny.root, device="cpu")
    rows = [row.fields for row in generate_rows(50, 77, 0.0)]

    found = analyzer.analyze_songs_batch(rows)

    right = sum(
        one.verdict == row["truth"]["verdict"] for one, row in zip(found, rows, strict=True)
    )
    assert right >= 40
    assert sum(bool(one.rationale) for one in found) == 50
    assert sum(one.needs_review for one in found) <= 20
    bundle = Analyzer(tiny.folders["export"] / "bundle", "cpu")
    assert bundle.analyze_song(rows[0]).verdict == found[0].verdict


def test_a_second_run_does_nothing(tiny):
    heard = tiny.events_of_a_second_run()

    assert heard["reused"] == [stage.key for stage in tiny.status.stages]
    assert not {"started", "finished"} & set(heard)
