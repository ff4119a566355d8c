"""The student learns from a teacher that is asked live, and near a base whose adapter is off."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.stages.conftest import SMALL

from stillhouse.core.kd_metrics import KD_METRICS
from stillhouse.runner.opening import open_recipe
from stillhouse.runner.resolve import resolve
from stillhouse.stages.weights import ADAPTER, MODEL

FAR = {**SMALL, "config": {**SMALL["config"], "initializer_range": 0.5}}
TEACHER = {**FAR, "config": {**FAR["config"], "hidden_size": 24}, "tokenizer": {"vocab_size": 300}}
ROWS = {
    "collect": {"source": {"sample_rows": {"task": "tickets", "rows": 40}}},
    "prepare": {
        "user": "{message}",
        "answer": "annotation",
        "split": {"parts": {"holdout": 4, "validation": 4, "labelled": 12, "teacher": "rest"}},
    },
    "teacher": {"scratch": TEACHER},
    "student": {"scratch": {**FAR, "seed": 5}},
}
WEIGHTS = {"forward_kl": 0.7, "cross_entropy": 0.3}
TRAIN = {
    "parts": ["labelled"],
    "length": {"steps": 4, "batch_size": 4, "checkpoint_every": 2},
    "weights": WEIGHTS,
    "kd_temperature": 2.0,
}


@pytest.fixture
def stages(write_recipe, run_stage):
    """`stages(**sections)` resolves a recipe and runs its stages by name, each once."""

    def begin(**sections):
        path = write_recipe(**{**ROWS, **sections})
        resolved, made = resolve(*open_recipe(str(path))), {}

        def run(key):
            if key not in made:
                inputs = {name: run(own)[0] for name, own in resolved.plan[key].inputs.items()}
                made[key] = run_stage(resolved, key, inputs)
            return made[key]

        return SimpleNamespace(run=run, plan=resolved.plan)

    return begin


def losses(folder, part="steps"):
    told = json.loads((folder / KD_METRICS).read_text())
    return [one["loss"] for one in told[part]]


@pytest.mark.parametrize("lora", [None, {"rank": 4}], ids=["tuned whole", "adapted"])
def test_a_live_teacher_gives_the_student_of_its_full_targets(stages, lora, tmp_path):
    students = {}
    for mode in ("cached", "live"):
        label = (
            {"parts": ["labelled"], "targets": "full"}
            if mode == "cached"
            else {"parts": ["labelled"]}
        )
        tuned = {"length": {"steps": 2, "batch_size": 4}, "lora": lora}
        run = stages(label=label, train={**TRAIN, "mode": mode}, finetune=tuned).run
        _, result = run("train@student")
        assert (run("label")[0] / "targets").is_dir() is (mode == "cached")
        shutil.move(tmp_path / "made", tmp_path / f"made-{mode}")
        shutil.move(tmp_path / "scratch", tmp_path / f"scratch-{mode}")
        students[mode] = tmp_path / f"made-{mode}" / "train@student", result.summary

    (cached, told), (live, also) = students["cached"], students["live"]
    assert told == also
    assert losses(live) == pytest.approx(losses(cached), rel=1e-4)
    assert losses(live, "validation") == pytest.approx(losses(cached, "validation"), rel=1e-4)


def test_a_base_holds_its_adapter_back(stages, tmp_path):
    """The nearer to its base a student is kept, the less of the text it has learned."""
    base = tmp_path / "base"
    run = stages(finetune={"length": {"steps": 2, "batch_size": 4}}).run
    shutil.copytree(run("finetune")[0] / MODEL, base)
    shutil.rmtree(tmp_path / "made")
    shutil.rmtree(tmp_path / "scratch")
    learned = {}
    for weight in (0.0, 8.0):
        mode = {"mode": "base"} if weight else {}
        train = {
            **TRAIN,
            "length": {"steps": 12, "batch_size": 4},
            "optimizer": {"learning_rate": 1e-2},
            "weights": {"forward_kl": weight, "cross_entropy": 1.0},
            "lora": {"rank": 4},
            **mode,
        }
        run = stages(
            teacher={"path": str(base)}, student={"path": str(base)}, finetune=None, train=train
        ).run
        folder, _ = run("train@student")
        assert (folder / ADAPTER).is_dir()
        assert not (folder / MODEL).exists()
        assert not (run("label")[0] / "targets").exists()
        learned[weight] = losses(folder)[0], update_of(folder)
        shutil.rmtree(tmp_path / "made")
        shutil.rmtree(tmp_path / "scratch")

    # At the first step the adapter is fresh: the base is at no distance.
    assert learned[8.0][0] == pytest.approx(learned[0.0][0], rel=1e-6)
    assert learned[8.0][1] < 0.9 * learned[0.0][1]


def update_of(folder):
    """The norm of all that an adapter adds to its base's matrices."""
    stored = load_file(folder / ADAPTER / "adapter_model.safetensors")
    downs = sorted(name for name in stored if "lora_A" in name)
    return float(
        sum(
            np.linalg.norm(stored[name.replace("lora_A", "lora_B")] @ stored[name])
            for name in downs
        )
    )
