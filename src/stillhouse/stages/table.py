"""The stages by name."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from stillhouse.stages.contract import StageFunction


@dataclass(frozen=True, slots=True)
class StageEntry:
    """Where a stage is, and whether it needs the heavy imports."""

    module: str
    needs_torch: bool


STAGES = {
    "collect": StageEntry("stillhouse.stages.collect", needs_torch=False),
    "prepare": StageEntry("stillhouse.stages.prepare", needs_torch=False),
    "finetune": StageEntry("stillhouse.stages.finetune", needs_torch=True),
    "label": StageEntry("stillhouse.stages.label", needs_torch=True),
    "train": StageEntry("stillhouse.stages.train", needs_torch=True),
    "evaluate": StageEntry("stillhouse.stages.evaluate", needs_torch=True),
    "gate": StageEntry("stillhouse.stages.gate", needs_torch=False),
    "export": StageEntry("stillhouse.stages.export", needs_torch=True),
    "register": StageEntry("stillhouse.stages.register", needs_torch=False),
}


def stage_function(name: str) -> StageFunction:
    """The `run` of a stage; imports its module now and not before."""
    function: StageFunction = importlib.import_module(STAGES[name].module).run
    return function


def import_heavy() -> None:
    """Import every stage that needs torch, so that a forked child has them at no cost."""
    for entry in STAGES.values():
        if entry.needs_torch:
            importlib.import_module(entry.module)
