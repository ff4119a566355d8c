"""The contexts that come with Stillhouse, by the names of their sets: what prompts are paired with.

A set's name, version and digest stand beside every row that was paired from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from ruamel.yaml import YAML

from stillhouse.core.errors import InputError
from stillhouse.core.hashing import digest_value
from stillhouse.data.nearest import did_you_mean
from stillhouse.data.pairing import Setting

OPEN, WAY = "open", "way"
"""Types of contexts that are no tradition: nothing is given, and a way of looking."""
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Context:
    """What a prompt may be paired with.

    Attributes:
        id: its name.
        type: `open`, `way`, or what kind of thing a tradition is, such as `people` or `genre`.
        text: what models see.
        practice: sentences of how it is done, for the rules.
        perspective: sentences of from where it is seen.
        perception: sentences of what is perceived.
    """

    id: str
    type: str
    text: str
    practice: tuple[str, ...] = ()
    perspective: tuple[str, ...] = ()
    perception: tuple[str, ...] = ()

    @property
    def is_tradition(self) -> bool:
        """Whether it is a people, a region, a genre ..."""
        return self.type not in (OPEN, WAY)


@cache
def _file() -> dict[str, Any]:
    text = (resources.files("stillhouse.tasks.prompts") / "contexts.yaml").read_text("utf-8")
    told: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return told


@cache
def own_contexts() -> dict[str, Context]:
    """Every context of the file, by its id, in its order."""
    return {
        one["id"]: Context(
            one["id"],
            one["type"],
            one["text"],
            tuple(one.get("practice", ())),
            tuple(one.get("perspective", ())),
            tuple(one.get("perception", ())),
        )
        for one in _file()["contexts"]
    }


def context_sets() -> dict[str, list[Context]]:
    """The sets: all contexts, the ways of looking alone, the traditions alone."""
    every = list(own_contexts().values())
    return {
        "pedagogical": every,
        "ways": [one for one in every if one.type == WAY],
        "traditions": [one for one in every if one.is_tradition],
    }


def settings_of_set(name: str, place: str) -> list[Setting]:
    """A set as what prompts are paired with.

    Args:
        name: of the set.
        place: where a recipe names it, for errors.

    Returns:
        Each context with its type and with name, version and digest of the set.

    Raises:
        InputError: there is no set of that name.
    """
    sets = context_sets()
    if name not in sets:
        raise InputError(
            f'{place}: there is no set "{name}"{did_you_mean(name, sets)}',
            f"sets that come with Stillhouse: {', '.join(sets)}; `file` takes contexts of your own",
        )
    texts = [[one.id, one.type, one.text] for one in sets[name]]
    label = f"{name}@{_file()['version']}#{digest_value(texts)[:_DIGITS]}"
    return [Setting(one.id, one.text, one.type, label) for one in sets[name]]
