"""Whether the packages of an extra are there, asked before anything is started."""

from __future__ import annotations

import importlib.util

from stillhouse.core.errors import UsageError

TRAIN = ("torch", "transformers", "peft", "accelerate", "safetensors")
"""Packages without which no model can be trained or asked."""

HARNESS = ("lm_eval",)
"""The package that brings public tasks."""


def require_train() -> None:
    """Make sure that models can be trained and asked here; nothing is imported.

    Raises:
        UsageError: names what is missing and the extra that brings it.
    """
    missing = [name for name in TRAIN if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"this run trains or asks a model, which needs {', '.join(missing)}: not installed",
            'pip install "stillhouse[train]"',
        )


def require_harness() -> None:
    """Make sure that public tasks can be asked here; nothing is imported.

    Raises:
        UsageError: names what is missing and the extra that brings it.
    """
    if any(importlib.util.find_spec(name) is None for name in HARNESS):
        raise UsageError(
            "evaluate.harness asks tasks of lm-evaluation-harness, which is not installed",
            'pip install "stillhouse[lm-eval]", or remove evaluate.harness',
        )
