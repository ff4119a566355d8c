"""The named sets of gate rules in `gates/`, as they are written there."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from ruamel.yaml import YAML


@dataclass(frozen=True, slots=True)
class GateSet:
    """One file of rules.

    Attributes:
        name: of the file.
        description: one line for people.
        fallback: what to use where a rule does not pass.
        entries: the rules; those that say no `decide_by` follow the mode.
    """

    name: str
    description: str
    fallback: str
    entries: tuple[dict[str, Any], ...]

    def rules(self, *, strict: bool) -> tuple[dict[str, Any], ...]:
        """The rules as a recipe writes them.

        Args:
            strict: decide by the interval's bound, else by the estimate.

        Returns:
            One mapping a rule, each with its `decide_by`.
        """
        mode = {"decide_by": "confidence" if strict else "point"}
        return tuple(mode | entry for entry in self.entries)


def gate_set_names() -> list[str]:
    """The names of all sets, sorted."""
    folder = resources.files("stillhouse.recipes") / "gates"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir())


@cache
def read_gate_set(name: str) -> GateSet:
    """The set of that name.

    Args:
        name: one of `gate_set_names()`.

    Returns:
        The set.

    Raises:
        ValueError: there is none; names the nearest.
    """
    names = gate_set_names()
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1)
        guess = f'did you mean "{near[0]}"? ' if near else ""
        raise ValueError(f"no gate set {name!r}; {guess}there are {', '.join(names)}")
    entry = resources.files("stillhouse.recipes") / "gates" / f"{name}.yaml"
    data = YAML(typ="safe", pure=True).load(entry.read_text(encoding="utf-8"))
    return GateSet(name, data["description"], data["fallback"], tuple(data["rules"]))
