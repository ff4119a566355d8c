"""The recipes that come with Stillhouse: their names, profiles and texts.

`NAME.yaml` is the full profile, `NAME.tiny.yaml` the tiny one: its own rows, models of random
weights and no network, so that the whole chain is seen in a minute. `quickstart` is its own.
"""

from __future__ import annotations

import difflib
from importlib import resources
from importlib.resources.abc import Traversable

from stillhouse.core.errors import RecipeError

FULL, TINY = "full", "tiny"
PROFILES = (FULL, TINY)
_SUFFIX = {FULL: ".yaml", TINY: ".tiny.yaml"}
_TINY_AS_THEY_ARE = frozenset({"quickstart"})


def library_names() -> list[str]:
    """The names of the built-in recipes, sorted."""
    files = {entry.name for entry in _folder().iterdir()}
    return sorted(
        name.removesuffix(_SUFFIX[FULL]) for name in files if not name.endswith(_SUFFIX[TINY])
    )


def profiles_of(name: str) -> tuple[str, ...]:
    """The profiles that a built-in recipe has, the full one first."""
    has_tiny = name in _TINY_AS_THEY_ARE or (_folder() / f"{name}{_SUFFIX[TINY]}").is_file()
    return PROFILES if has_tiny else (FULL,)


def read_built_in(name: str, profile: str = "") -> tuple[str, str]:
    """The text of a built-in recipe, and what errors call it.

    Args:
        name: of `library_names`.
        profile: `full` or `tiny`; the full one if empty.

    Returns:
        The text, and the name of its file without `.yaml`.

    Raises:
        RecipeError: there is no such recipe, or it has no such profile.
    """
    names = library_names()
    if name not in names:
        stem, _, ending = name.rpartition(".")
        near = difflib.get_close_matches(name, names, n=1)
        guess = f'did you mean "{near[0]}"? ' if near else ""
        if stem in names and ending in PROFILES:
            guess = f"its profile is said beside its name: {stem} --profile {ending}; "
        raise RecipeError(
            f"no recipe {name!r}: neither a file nor a built-in recipe",
            f"{guess}built-in recipes: {', '.join(names)}",
        )
    chosen = profile or FULL
    there = profiles_of(name)
    if chosen not in there:
        near = difflib.get_close_matches(chosen, there, n=1)
        guess = f'did you mean "{near[0]}"? ' if near else ""
        raise RecipeError(
            f"--profile {profile}: the built-in recipe {name} has no such profile",
            f"{guess}it has {' and '.join(there)}",
        )
    is_own = chosen == TINY and name in _TINY_AS_THEY_ARE
    file = f"{name}{_SUFFIX[FULL if is_own else chosen]}"
    return (_folder() / file).read_text(encoding="utf-8"), file.removesuffix(".yaml")


def _folder() -> Traversable:
    return resources.files("stillhouse.recipes") / "library"
