"""The tiny profile of songs-sft: annotations learned directly by an adapter, and what ships."""

from __future__ import annotations

import json

import pytest
from tests.e2e.profiles import run_tiny

from stillhouse.tasks.songs.analyzer import FineTunedGPTOSSAnalyzer
from stillhouse.tasks.songs.rows import generate_rows

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("songs-sft-tiny")]
OF_A_VERSION = {"version", "training_date", "base_model", "training_data_size",
                "validation_metrics", "christian_accuracy", "secular_improvement"}  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return run_tiny("songs-sft", tmp_path_factory.mktemp("songs-sft"))


def test_tuning_beats_the_words_alone_and_lowers_the_loss_it_started_from(tiny):
    assert tiny.metric("student", "accuracy.verdict") > tiny.metric(
        "four_models", "accuracy.verdict"
    )
    assert tiny.metric("student", "cross_entropy") < tiny.metric("teacher", "cross_entropy")
    assert tiny.metric("student", "schema_valid") == 1.0
    improved, worsened = (
        tiny.metric("student", f"{name}_share") for name in ("improved", "worsened")
    )
    assert improved > worsened


def test_the_gate_tells_every_rule_of_its_set_although_it_stops_nobody(tiny):
    verdict = json.loads((tiny.folders["gate"] / "verdict.json").read_bytes())
    asked = {rule["text"].split(" ")[0] for rule in verdict["rules"]}
    assert {
        "christian_accuracy",
        "improved_share",
        "hallucination_rate",
        "micro_f1.themes",
    } <= asked
    assert sum(name.startswith("error.") for name in asked) == 6


def test_the_split_keeps_eight_tenths_to_learn_from_and_no_song_in_two_parts(tiny):
    parts = tiny.summary("prepare")["parts"]
    total = sum(parts.values())
    assert (parts["teacher"] + parts["labelled"]) / total == pytest.approx(0.8, abs=0.02)
    assert parts["validation"] / total == pytest.approx(0.1, abs=0.02)


def test_the_version_says_where_it_comes_from_and_its_adapter_answers_alone(tiny):
    bundle = tiny.folders["export"] / "bundle"
    info = json.loads((bundle / "version_info.json").read_bytes())
    assert set(info) >= OF_A_VERSION
    assert info["secular_improvement"] == pytest.approx(tiny.metric("student", "improved_share"))
    assert (bundle / "adapter" / "adapter_model.safetensors").is_file()
    rows = [row.fields for row in generate_rows(10, 78, 0.0)]
    whole = FineTunedGPTOSSAnalyzer(bundle, "cpu").analyze_songs_batch(rows)
    alone = FineTunedGPTOSSAnalyzer(bundle / "adapter", "cpu").analyze_songs_batch(rows)
    assert [one.as_dict("concern")["score"] for one in whole] == [one.score for one in alone]


def test_a_second_run_does_nothing(tiny):
    heard = tiny.events_of_a_second_run()

    assert heard["reused"] == [stage.key for stage in tiny.status.stages]
    assert not {"started", "finished"} & set(heard)
