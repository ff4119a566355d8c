"""The `domains` section: what one base is made a specialist of, one adapter each."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from stillhouse.recipes.section import Section

DOMAIN = "domain"
"""The slice by which every measurement of a recipe with domains is cut."""


class Domain(Section):
    """One domain; its rows are learned by an adapter of its own.

    Attributes:
        system: text of its system message with `{field}` places, instead of `prepare.system`: who
            speaks in this domain.
    """

    system: str | None = None


def _named(value: Any) -> Any:
    """A mapping, also where the names alone are listed or a name has nothing behind it."""
    if isinstance(value, dict):
        return {name: {} if own is None else own for name, own in value.items()}
    if not isinstance(value, list):
        return value
    twice = next((name for name in value if value.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is named twice")
    if not all(isinstance(name, str) for name in value):
        raise ValueError("a list of domains holds names; a domain with settings is `name: {...}`")
    return {name: {} for name in value}


Domains = Annotated[
    dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")], Domain],
    BeforeValidator(_named),
]
"""Name to settings, in the order of work; a list of names is read as well."""
