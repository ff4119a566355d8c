"""The stages by name."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from typing import Any

from stillhouse.stages.contract import StageFunction


@dataclass(frozen=True, slots=True)
class StageEntry:
    """Where a stage is, and whether it needs the heavy imports."""

    module: str
    needs_torch: bool


STAGES = {
    "collect": StageEntry("stillhouse.stages.collect", needs_torch=False),
    "step": StageEntry("stillhouse.stages.step", needs_torch=False),
    "prepare": StageEntry("stillhouse.stages.prepare", needs_torch=False),
    "finetune": StageEntry("stillhouse.stages.finetune", needs_torch=True),
    "label": StageEntry("stillhouse.stages.label", needs_torch=True),
    "train": StageEntry("stillhouse.stages.train", needs_torch=True),
    "evaluate": StageEntry("stillhouse.stages.evaluate", needs_torch=True),
    "judge": StageEntry("stillhouse.stages.judge", needs_torch=False),
    "speed": StageEntry("stillhouse.stages.speed", needs_torch=True),
    "harness": StageEntry("stillhouse.stages.harness", needs_torch=True),
    "gate": StageEntry("stillhouse.stages.gate", needs_torch=False),
    "export": StageEntry("stillhouse.stages.export", needs_torch=True),
    "register": StageEntry("stillhouse.stages.register", needs_torch=False),
}


_BASELINE = StageEntry("stillhouse.stages.evaluate_baseline", needs_torch=False)
_GGUF = {
    "evaluate": StageEntry("stillhouse.stages.evaluate_gguf", needs_torch=True),
    "speed": StageEntry("stillhouse.stages.speed_gguf", needs_torch=True),
}
"""What does the work of a stage of a file for llama.cpp."""

_REMOTE = {
    "label": StageEntry("stillhouse.stages.label_remote", needs_torch=False),
    "evaluate": StageEntry("stillhouse.stages.evaluate_remote", needs_torch=False),
}
"""What does the work of a stage where a teacher behind an API is asked."""


def entry_of(stage: str, config: dict[str, Any]) -> StageEntry:
    """Where the work of an instance is.

    Args:
        stage: its stage.
        config: its configuration.

    Returns:
        The entry.
    """
    if "baseline" in config:
        return _BASELINE
    if "gguf" in config:
        return _GGUF[stage]
    if "endpoint" in config:
        return _REMOTE[stage]
    entry = STAGES[stage]
    is_local = any("model" in engine for engine in config.get("engines", {}).values())
    return replace(entry, needs_torch=True) if is_local else entry


def stage_function(stage: str, config: dict[str, Any]) -> StageFunction:
    """The `run` of an instance; imports its module now and not before."""
    function: StageFunction = importlib.import_module(entry_of(stage, config).module).run
    return function


def import_heavy() -> None:
    """Import every stage that needs torch, so that a forked child has them at no cost."""
    for entry in STAGES.values():
        if entry.needs_torch:
            importlib.import_module(entry.module)
