"""An evaluation tells what the recipe asks for: steadiness, confidence, sizes, and time."""

from __future__ import annotations

import json

import numpy as np
import pytest

from stillhouse.evals.scores import read_scores
from stillhouse.evals.summary import EvaluationSummary, Speed
from stillhouse.runner.opening import open_recipe
from stillhouse.runner.resolve import resolve
from stillhouse.stages.gate import ask_gate

pytestmark = pytest.mark.xdist_group("stages_evaluate")
ROWS = [
    {
        "q": f"question {number}",
        "a": "yes" if number % 3 else "no",
        "other": [f"asked {number}", f"and so {number}"] if number % 2 else f"asked {number}",
    }
    for number in range(50)
]
EVALUATE = {
    "draws": 100,
    "max_new_tokens": 6,
    "batch_size": 4,
    "fields": {"answer": {"kind": "label", "classes": ["yes", "no"]}},
    "repeats": {"times": 3, "examples": 4, "temperature": 2.0},
    "alone": 5,
    "paraphrases": "other",
    "latency": {"examples": 8, "warmup": 1},
}
RULES = [
    {"metric": "latency_p95_s", "at_most": 60.0},
    {"metric": "size_bytes", "at_most": 1e9},
    {"metric": "latency_mean_s", "against": "teacher", "relation": "ratio", "at_most": 1e3},
]


@pytest.fixture(scope="module")
def kept():
    """Keeps what one evaluation made, for all tests of this file."""
    return {}


@pytest.fixture
def run_all(kept, write_recipe, run_stage, tmp_path):
    """The artifacts of a small recipe up to `evaluate` and `speed`, made once."""
    if kept:
        return kept
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    parts = {"holdout": 12, "validation": 4, "teacher": 10, "labelled": "rest"}
    path = write_recipe(
        collect={"source": {"file": "rows.jsonl"}},
        prepare={"user": "{q}", "answer": "a", "split": {"parts": parts}},
        evaluate=EVALUATE,
        gate={"rules": RULES},
    )
    resolved = resolve(*open_recipe(str(path)))
    made, folders = {}, {}
    wanted = ("collect", "prepare", "finetune", "label", "train@student", "evaluate@teacher",
              "evaluate@student", "speed@teacher", "speed@student")  # fmt: skip
    for key in wanted:
        inputs = {name: folders[of] for name, of in resolved.plan[key].inputs.items()}
        folders[key], made[key] = run_stage(resolved, key, inputs)
    made["folders"], made["resolved"] = folders, resolved
    made["scores"] = {key: read_scores(folders[key] / "scores.parquet") for key in wanted[-4:]}
    kept |= made
    return kept


def test_what_is_asked_again_counts_only_the_examples_that_were(run_all):
    scores = run_all["scores"]["evaluate@student"]

    assert scores.column("repeated").sum() == 4
    assert scores.column("batched").sum() == 5
    assert scores.column("group").sum() == 12
    assert scores.column("group_pairs").sum() >= 12
    told = EvaluationSummary.model_validate(run_all["evaluate@student"].summary).metrics
    assert told["repeat_equality"].n == 4
    assert told["batch_equality"].value == 1.0
    assert told["flip_rate.answer"].n == 4


def test_how_much_of_a_draft_the_teacher_would_take_is_told_of_the_student_and_whole_of_itself(
    run_all,
):
    scores = run_all["scores"]["evaluate@student"]
    of_student, of_teacher = (
        EvaluationSummary.model_validate(run_all[f"evaluate@{who}"].summary).metrics
        for who in ("student", "teacher")
    )

    alpha = scores.column("acceptance").sum() / scores.column("tokens").sum()
    assert 0.0 < alpha < 1.0
    assert of_student["acceptance_rate"].value == pytest.approx(alpha)
    assert of_student["expected_acceptance"].value == pytest.approx(sum(alpha**k for k in range(5)))
    assert of_teacher["acceptance_rate"].value == 1.0
    assert of_teacher["expected_acceptance"].value == 5.0


def test_confidence_of_a_class_is_told_and_sizes_are_exact(run_all):
    summary = EvaluationSummary.model_validate(run_all["evaluate@student"].summary)
    scores = run_all["scores"]["evaluate@student"]

    assert summary.calibration[0].note == "the probability of the chosen class among all classes"
    assert scores.has("confidence")
    size = summary.size
    files = list((run_all["folders"]["train@student"] / "model").glob("*.safetensors"))
    assert size.disk_bytes == sum(path.stat().st_size for path in files)
    assert summary.metrics["size_bytes"].value == size.disk_bytes
    assert size.bytes_by_dtype["float32"] == 4 * size.parameters
    assert abs(size.disk_bytes - size.bytes_by_dtype["float32"]) < 8192


def test_time_is_told_of_the_timed_examples_alone_and_stays_out_of_the_evaluation(run_all):
    scores = run_all["scores"]["speed@student"]

    timed = scores.column("timed") > 0
    assert timed.sum() == 8
    assert (scores.column("latency_s")[timed] > 0).all()
    assert (scores.column("latency_s")[~timed] == 0).all()
    assert len(np.unique(scores.column("peak_memory_bytes"))) == 1
    assert run_all["speed@student"].summary == {"timed": 8}
    speed = Speed.from_measured(run_all["speed@student"].measured)
    assert speed.latency_n == 8
    assert speed.latency_mean_s == pytest.approx(scores.column("latency_s")[timed].mean())
    assert not run_all["scores"]["evaluate@student"].has("latency_s")


def test_a_gate_may_ask_for_time_and_size(run_all):
    folders, resolved = run_all["folders"], run_all["resolved"]
    gate = resolved.plan["gate"]
    inputs = {name: folders[of] for name, of in gate.inputs.items() if of in folders}

    verdict = ask_gate(gate.config, inputs, "student")

    assert verdict.passed
    assert [rule.n for rule in verdict.rules] == [8, 12, 8]
