"""Sections of a recipe that are kept for the services, and what each of their keys will do.

A run ends with a registered version. Nothing serves it yet, so these keys are read, told and left
alone: they change no artifact, and no run waits for them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

_SERVICES = {
    "serve": {
        "task": "which task's own words the service answers in",
        "router": "the column by which a request is given to its adapter",
        "fallback": "who answers where the student does not",
        "share": "the part of all requests that a new version answers beside the one in use",
        "roll_back": "when a new version is taken back",
    },
    "monitor": {
        "metrics": "what is watched while the student serves",
    },
}
"""assumption: the keys that the recipes of this project write; none of them is read by a run."""


def waiting(recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """One sentence for each key of a recipe that waits for the services.

    Args:
        recipe: as plain values; of its sections `serve` and `monitor` are read.

    Returns:
        Empty for a recipe without these sections.
    """
    return tuple(
        f"{section}.{key}: {what}; no service reads it yet"
        for section, keys in _SERVICES.items()
        for key, what in _told(recipe.get(section) or {}, keys)
    )


def _told(given: Mapping[str, Any], known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key in given:
        if key in known:
            yield key, known[key]
            continue
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        guess = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(known)}"
        yield key, f"no key of that name is planned, {guess}"
