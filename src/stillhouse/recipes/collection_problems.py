"""Settings of a collection that cannot hold together with the rest of a recipe."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from stillhouse.recipes.problem import Problem
from stillhouse.recipes.schema import Recipe


def collection_problems(recipe: Recipe) -> Iterator[Problem]:
    """Hosts that a collection asks and the network policy forbids.

    Args:
        recipe: valid alone.

    Yields:
        A problem a host.
    """
    collection = recipe.collect.source.collection
    if collection is None:
        return
    allowed = () if isinstance(recipe.network, str) else recipe.network
    for name, source in collection.sources.items():
        host = source.host
        if host and not _is_here(host) and not any(_covers(one, host) for one in allowed):
            yield Problem(
                f"collect.source.collection.sources.{name}",
                f"asks {host}, which the recipe's network policy forbids; write network: "
                f"[{', '.join(dict.fromkeys([*allowed, *collection.hosts]))}]",
            )


def _covers(entry: str, host: str) -> bool:
    return host == entry or (entry.startswith("*.") and host.endswith(entry[1:]))


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
