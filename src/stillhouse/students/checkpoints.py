"""Sealed checkpoints: one that was written whole carries a seal, and only those are resumed.

A checkpoint folder is written by the Trainer, made durable file by file, and sealed last. What
has no seal was torn by a crash and is deleted. Its weights are the trainable parameters alone:
the frozen ones are those that training began with.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from stillhouse.core.errors import ArtifactError
from stillhouse.core.files import disk_full_is_clear, sync_tree, write_json

SEAL = "SEALED"
WEIGHTS = "trainable.safetensors"
FOLDER = "checkpoints"
_PREFIX = "checkpoint-"


def seal(folder: Path, plan_digest: str) -> None:
    """Make a checkpoint durable and say whose it is, and of which files.

    Args:
        folder: one checkpoint, written whole.
        plan_digest: of everything that decides what training does.

    Raises:
        DiskFullError: no space left.
    """
    with disk_full_is_clear(folder):
        sync_tree(folder)
        write_json(folder / SEAL, {"plan_digest": plan_digest, "files": _sizes_of(folder)})


def latest_sealed(workdir: Path, plan_digest: str) -> Path | None:
    """The newest checkpoint; one that is torn or has lost a file is deleted.

    Args:
        workdir: of the training.
        plan_digest: what each checkpoint must have been sealed with.

    Returns:
        Its folder, or None when training starts at the beginning.

    Raises:
        ArtifactError: a checkpoint is of another training; going on from it would give weights of
            neither.
    """
    usable = []
    for folder in _by_step(workdir):
        sealed = _seal_of(folder)
        if sealed is None or sealed["files"] != _sizes_of(folder):
            shutil.rmtree(folder)
        elif sealed["plan_digest"] != plan_digest:
            raise ArtifactError(
                f"{folder} belongs to another training: it was sealed for the plan "
                f"{sealed['plan_digest']}, this is {plan_digest}",
                "train in another folder, or delete this one",
            )
        else:
            usable.append(folder)
    return usable[-1] if usable else None


def drop_old(workdir: Path, best_step: int | None) -> None:
    """Keep the newest two checkpoints and the best; the last one may yet be torn by a crash."""
    for folder in _by_step(workdir)[:-2]:
        if folder != checkpoint_folder(workdir, best_step or 0):
            shutil.rmtree(folder)


def delete_checkpoints(workdir: Path) -> None:
    """Delete every checkpoint; they hold pickles, which no finished artifact may."""
    shutil.rmtree(workdir / FOLDER, ignore_errors=True)


def checkpoint_folder(workdir: Path, step: int) -> Path:
    """Where the checkpoint of a step stands."""
    return workdir / FOLDER / f"{_PREFIX}{step}"


def save_trainable(model: nn.Module, folder: Path) -> None:
    """Write the trainable parameters as safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: parameter.detach().contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    with disk_full_is_clear(folder):
        save_file(weights, folder / WEIGHTS)


def load_trainable(model: nn.Module, folder: Path) -> None:
    """Put the trainable parameters of a checkpoint into the model that it was made of.

    Args:
        model: changed in place.
        folder: one checkpoint.

    Raises:
        ArtifactError: it holds other parameters than the model trains.
    """
    stored = load_file(folder / WEIGHTS)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if stored.keys() != trained.keys():
        differing = sorted(stored.keys() ^ trained.keys())[:3]
        raise ArtifactError(
            f"{folder} holds other parameters than the model trains, for instance {differing}",
            "delete the folder to train from the beginning",
        )
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(stored[name])


def _by_step(workdir: Path) -> list[Path]:
    folders = [path for path in (workdir / FOLDER).glob(f"{_PREFIX}*") if path.is_dir()]
    return sorted(folders, key=lambda folder: int(folder.name.removeprefix(_PREFIX)))


def _seal_of(folder: Path) -> dict[str, Any] | None:
    path = folder / SEAL
    return json.loads(path.read_text()) if path.is_file() else None


def _sizes_of(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != SEAL
    }
