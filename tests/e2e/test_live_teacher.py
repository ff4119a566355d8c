"""The recipes of the page "cached, live, or the base itself" run as they stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import stillhouse

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.usefixtures("in_this_process")]
HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


SHORT = [
    "compute.threads=1",
    "label.max_new_tokens=8",
    "evaluate.draws=100",
    "label.cut_at_most=1",
    "collect.source.sample_rows.rows=300",
]


def run(name, root, *overrides):
    """The summaries and folders of a smoke run's stages, with fewer rows and shorter answers."""
    call = stillhouse.Call([*SHORT, *overrides], str(root), smoke=2)
    status = stillhouse.run(str(HOW_TO / f"{name}.yaml"), call)
    assert all(stage.is_done for stage in status.stages)
    folders = {one.key: root / "artifacts" / one.artifact_id for one in status.stages}
    return {stage.key: stage.summary for stage in status.stages}, folders


SPLIT = "prepare.split.parts={holdout: 9, validation: 5, labelled: 9, unlabelled: 9, teacher: rest}"


def test_the_recipes_of_the_page_go_to_the_end_and_store_no_targets(tmp_path):
    told, made = run("live-teacher", tmp_path / "live", SPLIT)
    assert told["label"]["asked"] > 0
    assert not (made["label"] / "targets").exists()
    assert told["evaluate@student"]["metrics"]["kl_to_teacher"]["value"] > 0

    base = made["finetune"] / "model"
    told, made = run(
        "near-its-base",
        tmp_path / "base",
        f"teacher.path={base}",
        f"student.path={base}",
    )
    assert not (made["label"] / "targets").exists()
    assert told["train@student"]["trainable_parameters"] < told["train@student"]["parameters"] / 4
    config = json.loads((made["train@student"] / "adapter" / "adapter_config.json").read_text())
    assert config["r"] == 8
