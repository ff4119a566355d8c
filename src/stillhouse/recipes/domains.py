"""The `domains` section: what one base is made a specialist of, one adapter each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from stillhouse.recipes.section import Section

if TYPE_CHECKING:
    from stillhouse.recipes.schema import Recipe

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


def domain_problems(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """What of a recipe contradicts its domains, as keys with what to do."""
    if not recipe.domains:
        if recipe.prepare.domain_field:
            yield "prepare.domain_field", "deals rows out to domains, and the recipe has none"
        return
    if not recipe.prepare.domain_field:
        yield "domains", "no row says which one it belongs to: add prepare.domain_field"
    if not recipe.train.lora:
        yield "domains", "are adapters on one frozen base: add train.lora"
    elif recipe.train.lora.bias != "none":
        yield (
            "train.lora.bias",
            f"{recipe.train.lora.bias} trains weights of the base, which all domains share: none",
        )
    if recipe.export.formats != ("adapter",):
        yield (
            "export.formats",
            f"[{', '.join(recipe.export.formats)}], but every domain has an adapter of its own, "
            "which no merged model can hold: write [adapter]",
        )
    if recipe.evaluate.harness:
        yield "evaluate.harness", "its tasks belong to no domain, so that no adapter is asked them"
