"""Whether the packages of an extra are there, asked before anything is started."""

from __future__ import annotations

import importlib.util

from stillhouse.core.errors import UsageError

TRAIN = ("torch", "transformers", "peft", "accelerate", "safetensors")
"""Packages without which no model can be trained or asked."""


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
