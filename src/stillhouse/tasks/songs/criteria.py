"""The criteria that songs are judged by, from a file that may be copied and changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stillhouse.core.errors import InputError

VERDICTS = ("RECOMMENDED", "ACCEPTABLE", "CONCERNING", "NOT_RECOMMENDED")
"""From the best to the worst."""
CONCERN_LEVELS = ("Very Low", "Low", "Medium", "High", "Critical")

_KEYS = {"name", "criteria", "verdicts", "concern_levels", "review"}
_OWN = "criteria.yaml"


@dataclass(frozen=True, slots=True)
class Criteria:
    """What songs are judged by.

    Attributes:
        name: whose criteria these are, in words.
        statements: what they say, from the best to the worst.
        verdicts: lowest score to verdict, highest first.
        concern_levels: lowest score to level of concern, highest first.
        confidence_below: a person should look at an analysis that is less sure, in [0, 1].
    """

    name: str
    statements: tuple[str, ...]
    verdicts: Mapping[float, str]
    concern_levels: Mapping[float, str]
    confidence_below: float


@cache
def criteria() -> Criteria:
    """Those of this package."""
    text = (resources.files("stillhouse.tasks.songs") / _OWN).read_text("utf-8")
    return _parse(text, _OWN)


def read_criteria(path: Path) -> Criteria:
    """The criteria of a file.

    Args:
        path: a copy of this package's `criteria.yaml`, changed.

    Returns:
        What it says.

    Raises:
        InputError: it cannot be read, lacks a key, or its bands do not cover scores from 0 to 100.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}", "name a file of criteria") from None
    return _parse(text, str(path))


def _parse(text: str, origin: str) -> Criteria:
    try:
        told: Any = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise InputError(f"{origin} is no YAML: {error}", f"start from a copy of {_OWN}") from None
    keys = set(told) if isinstance(told, dict) else set()
    if keys != _KEYS:
        raise InputError(
            f"{origin} lacks {', '.join(sorted(_KEYS - keys)) or 'nothing'} and has the unknown "
            f"{', '.join(sorted(map(str, keys - _KEYS))) or 'nothing'}",
            f"its keys are {', '.join(sorted(_KEYS))}",
        )
    return Criteria(
        name=str(told["name"]),
        statements=tuple(map(str, told["criteria"])),
        verdicts=_bands(told["verdicts"], VERDICTS, f"{origin}: verdicts"),
        concern_levels=_bands(told["concern_levels"], CONCERN_LEVELS, f"{origin}: concern_levels"),
        confidence_below=_confidence(told["review"], origin),
    )


def _bands(told: Any, words: tuple[str, ...], origin: str) -> dict[float, str]:
    hint = "write the lowest score of each band, such as {75: " + words[0] + ", 0: " + words[-1]
    if not isinstance(told, dict) or not all(isinstance(low, int | float) for low in told):
        raise InputError(f"{origin} are no bands of scores", hint + "}")
    bands = {float(low): str(word) for low, word in sorted(told.items(), reverse=True)}
    strange = [word for word in bands.values() if word not in words]
    if strange:
        raise InputError(f"{origin}: {strange[0]!r} is none of {', '.join(words)}", hint + "}")
    if min(bands, default=1.0) != 0.0 or max(bands) > 100.0:
        raise InputError(f"{origin} do not go from 0 to at most 100", hint + "}")
    return bands


def _confidence(told: Any, origin: str) -> float:
    value = told.get("confidence_below") if isinstance(told, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(
            f"{origin}: review.confidence_below is {value!r}", "write a number from 0 to 1"
        )
    return float(value)
