"""Stillhouse: knowledge distillation for language models, from raw rows to a registered student.

The public names are loaded when they are first used, so that the command line starts at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stillhouse.api import (
        Call,
        ExportCall,
        ImportCall,
        InitCall,
        check,
        compare,
        doctor,
        erase,
        example_targets,
        explain,
        forecast_targets,
        gate,
        import_targets,
        init,
        leaderboard,
        ledger,
        list_profiles,
        list_recipes,
        mask,
        read_report,
        run,
        ship,
        show_targets,
        status,
        verify_targets,
        write_chat,
        write_report,
    )
    from stillhouse.core.errors import StillhouseError

__all__ = [
    "Call",
    "ExportCall",
    "ImportCall",
    "InitCall",
    "StillhouseError",
    "check",
    "compare",
    "doctor",
    "erase",
    "example_targets",
    "explain",
    "forecast_targets",
    "gate",
    "import_targets",
    "init",
    "leaderboard",
    "ledger",
    "list_profiles",
    "list_recipes",
    "mask",
    "read_report",
    "run",
    "ship",
    "show_targets",
    "status",
    "verify_targets",
    "write_chat",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Load a public name; Python calls this for names that are not there yet."""
    if name not in __all__:
        raise AttributeError(f"module 'stillhouse' has no attribute {name!r}")
    home = "stillhouse.core.errors" if name == "StillhouseError" else "stillhouse.api"
    return getattr(importlib.import_module(home), name)
