"""A loss that is not a number stops the run at once, and the message says at which step."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import stillhouse
from stillhouse.core.errors import TrainingError
from stillhouse.store.artifacts import ArtifactStore

pytestmark = pytest.mark.xdist_group("e2e")


def test_weights_that_overflow_stop_the_command_with_the_step(tiny_recipe, tmp_path):
    huge = "teacher.scratch.config.initializer_range=1.0e+30"
    words = ["run", str(tiny_recipe), "--runs", str(tmp_path), "--set", huge]

    done = subprocess.run(
        [sys.executable, "-m", "stillhouse.cli.main", *words], capture_output=True, text=True
    )

    assert done.returncode == 1
    assert re.search(r"error: step 1: the loss is \S+, the gradient's norm (nan|inf)", done.stderr)
    assert "learning_rate" in done.stderr
    assert "Traceback" not in done.stderr
    status = stillhouse.status("tiny", str(tmp_path))
    assert (status.state, status.failed) == ("failed", "finetune")
    assert [stage.key for stage in status.stages if stage.is_done] == ["collect", "prepare"]
    assert "step 1" in (tmp_path / "tiny" / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("in_this_process")
def test_a_loss_that_breaks_later_names_that_step_and_a_second_run_mends_it_to_the_bit(
    tiny_run, tiny_recipe, tmp_path, monkeypatch
):
    from stillhouse.students.trainer import StudentTrainer

    call = stillhouse.Call(runs=str(tmp_path / "runs"))

    def compute_loss(self, *inputs, real=StudentTrainer.compute_loss, **named):
        loss = real(self, *inputs, **named)
        return loss * float("nan") if self.state.global_step == 12 else loss

    with monkeypatch.context() as patch:
        patch.setattr(StudentTrainer, "compute_loss", compute_loss)
        with pytest.raises(TrainingError, match="step 13: the loss is nan") as caught:
            stillhouse.run(str(tiny_recipe), call)
    again = stillhouse.run(str(tiny_recipe), call)

    assert caught.value.exit_code == 1
    events = tmp_path / "runs" / "tiny" / "events.jsonl"
    failed = [json.loads(line) for line in events.read_text().splitlines() if "failed" in line]
    assert failed[0]["instance"] == "finetune"
    assert "step 13" in failed[0]["message"]
    mended, undisturbed = (
        ArtifactStore(root / "artifacts") for root in (Path(call.runs), tiny_run.root)
    )
    for stage in again.stages:
        assert mended.verify(stage.artifact_id) == undisturbed.find(stage.artifact_id)
