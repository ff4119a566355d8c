"""Each stage has a process of its own: one model in it, and no way out to the network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict

import pytest
from ruamel.yaml import YAML

import stillhouse
from stillhouse.core.errors import NetworkRefusedError
from stillhouse.store.artifacts import ArtifactStore

pytestmark = pytest.mark.xdist_group("e2e")
HEAVY = {
    "finetune": "teacher",
    "label": "teacher",
    "train@student": "student",
    "train@twin": "student",
    "evaluate@teacher": "teacher",
    "evaluate@student": "student",
    "evaluate@twin": "student",
    "export": "student",
    "evaluate@exported": "student",
}


def sizes(recipe):
    """Hidden units to whose they are."""
    plain = YAML(typ="safe").load(recipe)
    return {plain[who]["scratch"]["config"]["hidden_size"]: who for who in ("teacher", "student")}


def key_of(event):
    return f"{event['stage']}@{event['variant']}" if event["variant"] else event["stage"]


def test_no_process_ever_holds_the_weights_of_teacher_and_student(watched_run, tiny_recipe):
    whose = sizes(tiny_recipe)
    built = defaultdict(set)
    for event in watched_run.events:
        if event["kind"] == "model":
            built[key_of(event)].add(whose[event["hidden_size"]])

    assert built == {key: {who} for key, who in HEAVY.items()}


def test_every_stage_has_a_process_of_its_own(watched_run):
    stages = [event for event in watched_run.events if event["kind"] == "stage"]
    processes = {event["process"] for event in stages}

    status = stillhouse.status(watched_run.name, str(watched_run.root))
    assert sorted(key_of(event) for event in stages) == sorted(s.key for s in status.stages)
    assert len(processes) == len(stages)
    assert os.getpid() not in processes


def test_student_and_twin_start_from_the_same_weights(watched_run):
    starts = {key_of(e): e["digest"] for e in watched_run.events if e["kind"] == "start"}

    assert starts["train@student"] == starts["train@twin"] != starts["finetune"]


def test_peak_memory_is_known_of_each_stage_and_is_its_own(tiny_run):
    status = stillhouse.status(tiny_run.name, str(tiny_run.root))
    peaks = {stage.key: stage.peak_bytes for stage in status.stages}

    assert all(peaks.values())
    light = [peaks[key] for key in ("collect", "prepare", "gate", "register")]
    assert max(light) < min(peaks[key] for key in HEAVY)


def test_the_whole_chain_runs_on_a_machine_without_any_network(tiny_recipe, tiny_run, tmp_path):
    without = ["unshare", "--map-root-user", "--net"]
    try:
        probe = subprocess.run([*without, "true"], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if probe.returncode:
        pytest.skip(f"a network namespace is not permitted here: {probe.stderr.strip()}")
    command = [sys.executable, "-m", "stillhouse.cli.main", "run", str(tiny_recipe)]

    done = subprocess.run([*without, *command, "--runs", str(tmp_path)], capture_output=True)

    assert done.returncode == 0, done.stderr.decode()
    ours, theirs = (ArtifactStore(root / "artifacts") for root in (tiny_run.root, tmp_path))
    for stage in stillhouse.status("tiny", str(tmp_path)).stages:
        assert theirs.verify(stage.artifact_id) == ours.find(stage.artifact_id)


_CALL_OUT = """
import socket


def calling(stage, config):
    def run(request, progress):
        socket.create_connection(("192.0.2.1", 9), 2)
    return run


server.stage_function = calling
"""


def test_network_none_refuses_a_connection_from_within_a_stage(drive_stages, tiny_recipe, tmp_path):
    drive_stages(_CALL_OUT)

    with pytest.raises(NetworkRefusedError, match=r"192\.0\.2\.1 was refused") as caught:
        stillhouse.run(str(tiny_recipe), stillhouse.Call(runs=str(tmp_path / "runs")))

    assert caught.value.exit_code == 1
    assert "network: none" in caught.value.message
    assert stillhouse.status("tiny", str(tmp_path / "runs")).failed == "collect"
