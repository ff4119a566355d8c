"""Where a recipe departs from the document that it builds, and why.

What stands in place of a document's value is read from the recipe, so that no note can be wrong
about it; whoever writes the document's value back is told the reason once more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from stillhouse.recipes.correction import Correction
from stillhouse.recipes.problem import Problem
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.section import Section

_LONGEST = 60


def corrected(recipe: Recipe) -> Iterator[str]:
    """A sentence for each correction that holds: the key, both values, the reason."""
    for one, value in _with_values(recipe):
        if value != one.document:
            yield f"{one.key}: {_shown(value)} in place of {_shown(one.document)}: {one.why}"


def taken_back(recipe: Recipe) -> Iterator[str]:
    """A sentence for each that was undone, by `--set` or in a copy of the recipe."""
    for one, value in _with_values(recipe):
        if value == one.document:
            yield f"{one.key}: {_shown(value)}, as its document has it: {one.why}"


def correction_problems(recipe: Recipe) -> Iterator[Problem]:
    """Corrections of keys that no recipe has."""
    for number, one in enumerate(recipe.corrections):
        try:
            value_at(recipe, one.key)
        except KeyError as error:
            yield Problem(f"corrections.{number}.key", f"{one.key!r}: there is no {error.args[0]}")


def value_at(recipe: Recipe, key: str) -> Any:
    """The value of a recipe's dotted key; None also where a section above it is absent.

    Args:
        recipe: of which.
        key: as `--set` takes it.

    Returns:
        The value, defaults included.

    Raises:
        KeyError: the part of the key that names nothing.
    """
    node: Any = recipe
    for part in key.split("."):
        if isinstance(node, Section):
            node = getattr(node, _field(node, part))
        elif isinstance(node, dict):
            node = node.get(part)
        elif isinstance(node, tuple) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        elif node is None:
            return None
        else:
            raise KeyError(part)
    return node


def _field(section: Section, key: str) -> str:
    for name, field in type(section).model_fields.items():
        if key == (field.alias or name):
            return name
    raise KeyError(key)


def _with_values(recipe: Recipe) -> Iterator[tuple[Correction, Any]]:
    return ((one, value_at(recipe, one.key)) for one in recipe.corrections)


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple) and all(isinstance(one, str) for one in value):
        return ", ".join(value) or "none"
    if isinstance(value, Section):
        value = value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
