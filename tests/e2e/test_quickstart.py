"""The quickstart keeps its promise on three seeds: the student beats its twin, and the gate knows.

Slow: about a minute and a half a seed on two cores, and the teacher once.
"""

import json

import pytest

import stillhouse
from stillhouse.cli import main as program
from stillhouse.store.artifacts import ArtifactStore

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("quickstart")]
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def runs(root):
    return {
        seed: stillhouse.run(
            "quickstart", stillhouse.Call([f"train.seed={seed}"], str(root), f"seed-{seed}")
        )
        for seed in SEEDS
    }


def stage(status, key):
    return next(item for item in status.stages if item.key == key)


def metric(status, who, name):
    return stage(status, f"evaluate@{who}").summary["metrics"][name]["value"]


def curve(root, status, who):
    folder = ArtifactStore(root / "artifacts").path(stage(status, f"train@{who}").artifact_id)
    steps = json.loads((folder / "kd_metrics.json").read_text())["steps"]
    return {one["step"]: one["loss"] for one in steps}


@pytest.mark.parametrize("seed", SEEDS)
def test_student_and_twin_differ_in_rows_and_loss_alone(root, runs, seed):
    store = ArtifactStore(root / "artifacts")
    configs = [
        store.find(stage(runs[seed], f"train@{who}").artifact_id).config
        for who in ("student", "twin")
    ]
    assert configs[0]["model"] == configs[1]["model"]
    training = [config["training"] for config in configs]
    for name in ("length", "optimizer", "seed", "lora"):
        assert training[0][name] == training[1][name]
    steps = {stage(runs[seed], f"train@{who}").summary["steps"] for who in ("student", "twin")}
    assert len(steps) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_the_student_is_nearer_to_the_teacher_and_to_the_labels_than_its_twin(root, runs, seed):
    status = runs[seed]
    student, twin = curve(root, status, "student"), curve(root, status, "twin")
    print(f"\nseed {seed}: training loss, nats per token")
    for step in (1, 50, 100, 200, 300, 400, 500):
        print(f"  step {step:>3}: student {student[step]:.4f}  twin {twin[step]:.4f}")
    for name in ("kl_to_teacher", "cross_entropy", "exact_match", "agreement"):
        values = [metric(status, who, name) for who in ("teacher", "student", "twin")]
        print(f"  {name}: teacher {values[0]:.4f}  student {values[1]:.4f}  twin {values[2]:.4f}")
    assert metric(status, "student", "kl_to_teacher") <= 0.2 * metric(
        status, "twin", "kl_to_teacher"
    )
    assert metric(status, "student", "cross_entropy") < metric(status, "twin", "cross_entropy")


@pytest.mark.parametrize(("candidate", "code"), [("student", 0), ("twin", 3)])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_gate_passes_the_student_and_stops_the_twin(
    root, runs, seed, candidate, code, monkeypatch, capsys
):
    words = ["stillhouse", "gate", f"seed-{seed}", "--candidate", candidate, "--runs", str(root)]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == code
    assert capsys.readouterr().out.startswith(f"gate: {candidate} ")
