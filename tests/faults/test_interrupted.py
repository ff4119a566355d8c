"""Ctrl-C, a second process, torn artifacts and dead stages: each is named, and a rerun mends it."""

import json
import os
import shutil
import signal

import pytest
from tests.faults.killed_runs import (
    COMMAND,
    begin_at,
    begun,
    contents,
    differing,
    ended,
    instances,
    kill,
    run,
    servers_of,
    stages_of,
    started,
    wait_for,
)

import stillhouse
from stillhouse.core.errors import ArtifactError

pytestmark = pytest.mark.xdist_group("e2e")


@pytest.fixture
def root(tmp_path, tiny_run):
    """A runs folder in which rows and examples are made."""
    begin_at(tiny_run.root, tmp_path / "runs", "finetune")
    return tmp_path / "runs"


@pytest.fixture
def copied(tmp_path, tiny_run):
    """A finished run that a test may harm."""
    shutil.copytree(tiny_run.root, tmp_path / "runs")
    return tmp_path / "runs"


def command(tiny_recipe, root, *more):
    return [*COMMAND, "run", str(tiny_recipe), "--runs", str(root), *more]


def trains(process, root, name="tiny"):
    """Wait until the stage process of `finetune` is there."""
    wait_for(lambda: "finetune" in begun(root / name / "events.jsonl"), process)
    wait_for(lambda: stages_of(process), process)


def artifact(root, stage):
    return root / "artifacts" / dict(instances(root))[stage]


def test_ctrl_c_ends_with_130_and_the_next_run_goes_on(tiny_recipe, tiny_run, root, tmp_path):
    with started(command(tiny_recipe, root), tmp_path / "words") as process:
        trains(process, root)
        os.killpg(process.pid, signal.SIGINT)
        end = ended(process, tmp_path / "words")

    assert end.code == 130
    assert end.err.endswith(
        "error: interrupted\n  -> run the same command again to go on from the last finished work\n"
    )
    assert end.out == ""
    assert end.alive_s < 2.0
    status = json.loads(run("status", "tiny", "--runs", root, "--json").stdout)
    assert (status["state"], status["failed"]) == ("interrupted", "finetune")
    assert run("run", tiny_recipe, "--runs", root).returncode == 0
    assert differing(root, contents(tiny_run.root)) == []


def test_ctrl_c_before_the_first_stage_ends_with_130_too(tiny_recipe, tmp_path):
    with started(command(tiny_recipe, tmp_path / "runs"), tmp_path / "words") as process:
        wait_for(lambda: (tmp_path / "runs" / "tiny").exists(), process)
        os.killpg(process.pid, signal.SIGINT)
        end = ended(process, tmp_path / "words")

    assert end.code == 130
    assert "interrupted" in end.err
    assert "Traceback" not in end.err


def test_a_second_process_is_told_who_is_first(tiny_recipe, root, tmp_path):
    with started(command(tiny_recipe, root), tmp_path / "words") as process:
        trains(process, root)
        os.kill(stages_of(process)[0], signal.SIGSTOP)
        same = run("run", tiny_recipe, "--runs", root)
        other = run("run", tiny_recipe, "--runs", root, "--name", "other")

    first = f"process {process.pid} ("
    assert same.returncode == 2
    assert f"error: {root / 'tiny'} is in use by {first}" in same.stderr
    assert "  -> wait for it, end it, or give this run another name with --name\n" in same.stderr
    assert other.returncode == 2
    assert f"error: {artifact(root, 'finetune').name} is being made by {first}" in other.stderr
    assert "  -> wait for it or end it, then run the same command again\n" in other.stderr


def test_a_stage_that_dies_is_named_with_its_signal(tiny_recipe, tiny_run, root, tmp_path):
    with started(command(tiny_recipe, root), tmp_path / "words") as process:
        trains(process, root)
        kill(process, "child")
        end = ended(process, tmp_path / "words")

    assert end.code == 1
    assert end.err.endswith(
        "error: the process of finetune was ended by signal 9\n"
        "  -> signal 9 is often the kernel's answer to too little memory; run the same command "
        "again to go on from the last finished work\n"
    )


def test_a_server_that_dies_is_a_failure_and_no_trace(tiny_recipe, tiny_run, tmp_path):
    root = tmp_path / "runs"
    begin_at(tiny_run.root, root, "evaluate@twin")
    with started(command(tiny_recipe, root), tmp_path / "words") as process:
        wait_for(lambda: "evaluate@twin" in begun(root / "tiny" / "events.jsonl"), process)
        os.kill(servers_of(process)[False], signal.SIGKILL)
        end = ended(process, tmp_path / "words")

    assert end.code == 1
    assert "error: the process of gate was ended by signal 9\n" in end.err
    assert "Traceback" not in end.err


def truncate(folder):
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:200])
    return "manifest.json: torn manifest ("


def drop_file(folder):
    (folder / "targets" / "index.json").unlink()
    return "targets/index.json: missing, the manifest says "


def shorten_file(folder):
    path = folder / "completions.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    return "completions.parquet: "


def wrong_json(folder):
    (folder / "manifest.json").write_text('{"artifact_id": 1}')
    return "manifest.json: torn manifest ("


def drop_manifest(folder):
    (folder / "manifest.json").unlink()
    return "manifest.json: missing"


@pytest.mark.parametrize("harm", [truncate, drop_file, shorten_file, wrong_json, drop_manifest])
def test_a_torn_artifact_is_named_by_status(copied, harm):
    folder = artifact(copied, "label")
    said = harm(folder)

    with pytest.raises(ArtifactError) as caught:
        stillhouse.status("tiny", str(copied))

    assert caught.value.exit_code == 1
    assert caught.value.message.startswith(f"{folder}/{said}")
    assert (
        caught.value.hint == "run the recipe again: the torn artifact is moved aside and made anew"
    )


def test_torn_artifacts_are_moved_aside_and_made_anew(tiny_recipe, tiny_run, copied):
    label, gate = artifact(copied, "label"), artifact(copied, "gate")
    truncate(label)
    wrong_json(gate)

    done = run("run", tiny_recipe, "--runs", copied)

    assert done.returncode == 0, done.stderr
    for folder in (label, gate):
        assert f"; moved aside to .torn-{folder.name}-1, made anew\n" in done.stderr
        assert (copied / "artifacts" / f".torn-{folder.name}-1" / "manifest.json").exists()
    extra = [n for n in differing(copied, contents(tiny_run.root)) if "/.torn-" not in n]
    assert extra == []
