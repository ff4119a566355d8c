"""A task of lm-evaluation-harness in one's own folder is asked, measured and gated in a run."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest
from ruamel.yaml import YAML

import stillhouse
from stillhouse.core.errors import InputError

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(find_spec("lm_eval") is None, reason="make test-long installs lm-eval"),
]
TASK = """\
task: sky
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{q}}"
doc_to_choice: "{{choices}}"
doc_to_target: gold
metric_list: [{metric: acc}, {metric: f1}]
metadata: {version: 3}
"""
RULES = [
    {"metric": "harness.sky.acc", "at_least": 0.0},
    {"metric": "harness.sky.f1", "at_least": 0.0, "decide_by": "point"},
    {"metric": "harness.sky.acc", "against": "teacher", "at_least": -1.0},
    {"metric": "kl_to_teacher", "at_most": 20.0},
]


@pytest.fixture
def recipe(tiny_recipe, tmp_path):
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "sky.yaml").write_text(TASK)
    rows = [{"q": f"the sky {n} is", "choices": ["blue", "green"], "gold": n % 2} for n in range(9)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    plain = YAML(typ="safe").load(tiny_recipe.read_text())
    plain["evaluate"]["harness"] = {"tasks": ["sky"], "include": "tasks", "limit": 8}
    plain["gate"] = {"rules": RULES}
    path = tmp_path / "recipe.yaml"
    YAML().dump(plain, path)
    return path


def test_a_task_is_asked_of_every_candidate_and_its_rules_are_decided(recipe, tmp_path):
    call = stillhouse.Call(runs=str(tmp_path / "runs"))

    status = stillhouse.run(str(recipe), call)

    stages = {stage.key: stage for stage in status.stages}
    asked = [key for key in stages if key.startswith("harness@")]
    assert asked == [f"harness@{who}" for who in ("teacher", "student", "twin", "exported")]
    student = stages["harness@student"].summary
    assert (student["examples"], student["tasks"]) == (8, {"sky": "3"})
    accuracy = student["metrics"]["harness.sky.acc"]
    assert accuracy["n"] == 8
    assert accuracy["low"] < accuracy["value"] < accuracy["high"] or accuracy["value"] in (0, 1)
    assert "standard error" in student["metrics"]["harness.sky.f1"]["note"]
    assert stages["harness@exported"].summary["metrics"] == student["metrics"]
    verdict = stages["gate"].summary["verdict"]
    assert [rule["metric"] for rule in verdict["rules"]] == [
        "kl_to_teacher", "harness.sky.acc", "harness.sky.f1", "harness.sky.acc",
    ]  # fmt: skip
    predicted = {one.key: one for one in stillhouse.check(str(recipe), call).instances}
    for key in asked:
        peak, cost = stages[key].peak_bytes, predicted[key].cost
        print(f"{key}: {stages[key].seconds:.1f} s, check said {cost.seconds:.1f}; ", end="")
        print(f"{peak / 1e6:.0f} MB, check said {cost.memory_bytes / 1e6:.0f}")
        assert 0.5 * peak < cost.memory_bytes < 2.0 * peak
    board = stillhouse.leaderboard("harness.sky.acc", runs=call.runs)
    assert board.rows[0].estimate.n == 8


def test_a_task_that_cannot_be_read_is_told_with_its_reason(recipe, tmp_path):
    (tmp_path / "tasks" / "rows.jsonl").unlink()

    with pytest.raises(InputError, match=r"cannot ask sky: .*rows\.jsonl"):
        stillhouse.run(str(recipe), stillhouse.Call(runs=str(tmp_path / "runs")))
