"""How recipes name parts of a model: a full name, or its end after a dot."""

from __future__ import annotations

ROUTERS = ("router", "gate", "shared_expert_gate")
"""Last names of what chooses experts."""


def last_name(name: str) -> str:
    """What stands behind the last dot."""
    return name.rpartition(".")[2]


def is_named(name: str, pattern: str) -> bool:
    """Whether `pattern` is the full name, or its end after a dot."""
    return name == pattern or name.endswith(f".{pattern}")
