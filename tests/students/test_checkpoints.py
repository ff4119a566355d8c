"""Only a sealed checkpoint of the same plan is resumed."""

import importlib.util
from pathlib import Path

import pytest
import torch
from tiny_students import BOTH, ONE_THREAD, build, data_of, draw_examples, quick

from stillhouse.core.errors import ArtifactError
from stillhouse.core.protocols import no_progress
from stillhouse.recipes.training import Galore, Optimizer
from stillhouse.students.checkpoints import (
    WEIGHTS,
    checkpoint_folder,
    delete_checkpoints,
    drop_old,
    latest_sealed,
    load_trainable,
    save_trainable,
    seal,
)
from stillhouse.students.train import Setting, train_model

NEEDS_BITS = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)


def write(workdir, step, plan="plan"):
    folder = checkpoint_folder(workdir, step)
    save_trainable(torch.nn.Linear(2, 2), folder)
    if plan:
        seal(folder, plan)
    return folder


def test_torn_checkpoints_are_deleted(tmp_path):
    sealed, torn, poor = write(tmp_path, 9), write(tmp_path, 10, plan=""), write(tmp_path, 11)
    (poor / WEIGHTS).unlink()
    assert latest_sealed(tmp_path, "plan") == sealed
    assert not torn.exists()
    assert not poor.exists()
    (sealed / WEIGHTS).write_bytes(b"short")
    assert latest_sealed(tmp_path, "plan") is None


def test_a_checkpoint_of_another_plan_is_refused_and_kept(tmp_path):
    write(tmp_path, 9)
    foreign = write(tmp_path, 11, plan="another")
    with pytest.raises(ArtifactError, match="sealed for the plan another, this is plan") as told:
        latest_sealed(tmp_path, "plan")
    assert "checkpoint-11 belongs to another training" in str(told.value)
    assert foreign.exists()


@pytest.mark.parametrize(
    ("optimizer", "lora"),
    [
        (Optimizer(), True),
        (Optimizer(name="galore_adamw", galore=Galore(rank=3, update_gap=4)), False),
        (Optimizer(name="galore_adamw", galore=Galore(rank=3, layerwise=True)), False),
        pytest.param(Optimizer(name="adamw_8bit"), False, marks=NEEDS_BITS),
    ],
)
def test_a_resume_reads_no_pickle_that_could_run(optimizer, lora, tmp_path, monkeypatch):
    loads, real = [], torch.load

    def spy(file, *args, **kwargs):
        loads.append((Path(file).name, kwargs.get("weights_only")))
        return real(file, *args, **kwargs)

    def die(done, total, unit, **values):
        if done == 3:
            raise KeyboardInterrupt

    def fit(progress=no_progress):
        section = quick(4, checkpoint_every=2).model_copy(update={"optimizer": optimizer})
        student = build(lora=lora, hidden_size=64, intermediate_size=128)
        setting = Setting(ONE_THREAD, tmp_path, "plan", progress)
        train_model(student, data_of(draw_examples(9)), BOTH, section, setting)

    with pytest.raises(KeyboardInterrupt):
        fit(die)
    monkeypatch.setattr(torch, "load", spy)
    fit()
    assert sorted(loads) == [
        ("optimizer.pt", True), ("rng_state.pth", True), ("scheduler.pt", True)
    ]  # fmt: skip


def test_steps_are_compared_as_numbers(tmp_path):
    write(tmp_path, 9)
    newest = write(tmp_path, 10)
    assert latest_sealed(tmp_path, "plan") == newest


def test_no_checkpoint_means_from_the_beginning(tmp_path):
    assert latest_sealed(tmp_path, "plan") is None


def test_the_newest_two_and_the_best_are_kept(tmp_path):
    folders = {step: write(tmp_path, step) for step in (1, 2, 3, 4, 5)}
    drop_old(tmp_path, 2)
    assert [step for step, folder in folders.items() if folder.exists()] == [2, 4, 5]
    delete_checkpoints(tmp_path)
    assert latest_sealed(tmp_path, "plan") is None


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_trainable_parameters_come_back(lora, tmp_path):
    student = build(lora=lora)
    save_trainable(student, tmp_path)
    again = build(lora=lora, seed=1)
    load_trainable(again, tmp_path)
    for ours, theirs in zip(student.parameters(), again.parameters(), strict=True):
        if ours.requires_grad:
            assert torch.equal(ours, theirs)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    save_trainable(build(lora=True), tmp_path)
    with pytest.raises(ArtifactError, match="other parameters than the model trains"):
        load_trainable(build(), tmp_path)
