"""Only a sealed checkpoint of the same plan is resumed."""

import pytest
import torch
from tiny_students import build

from stillhouse.core.errors import ArtifactError
from stillhouse.students.checkpoints import (
    checkpoint_folder,
    delete_checkpoints,
    drop_old,
    latest_sealed,
    load_trainable,
    save_trainable,
    seal,
)


def write(workdir, step, plan="plan"):
    folder = checkpoint_folder(workdir, step)
    save_trainable(torch.nn.Linear(2, 2), folder)
    if plan:
        seal(folder, plan)
    return folder


def test_torn_and_foreign_checkpoints_are_deleted(tmp_path):
    sealed = write(tmp_path, 9)
    torn, foreign = write(tmp_path, 10, plan=""), write(tmp_path, 11, plan="another")
    assert latest_sealed(tmp_path, "plan") == sealed
    assert not torn.exists()
    assert not foreign.exists()


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
