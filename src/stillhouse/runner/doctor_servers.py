"""Whether the model servers that a recipe or a person names are up, and have the model.

No key and no prompt leaves. The providers' own addresses are not asked: they would want a key.
"""

from __future__ import annotations

from collections.abc import Iterator

from stillhouse.data.nearest import did_you_mean, some_of
from stillhouse.engines.served import Served, ask_served
from stillhouse.recipes.endpoints import ApiEndpoint
from stillhouse.recipes.schema import Recipe
from stillhouse.runner.doctor import Finding


def examine_endpoints(recipe: Recipe) -> Iterator[Finding]:
    """A finding about each server that a recipe names, asked once.

    Args:
        recipe: with models behind an API, or without.

    Yields:
        Whether it is up, and has the model.
    """
    asked: dict[tuple[str, str], Served] = {}
    for key, api in recipe.endpoints.items():
        if not _is_own(api):
            continue
        place = api.kind, api.base_url or ""
        if place not in asked:
            asked[place] = ask_served(*place)
        yield _about(key, api, asked[place])


def examine_server(url: str) -> Finding:
    """What a server says that it has, whichever of the two formats it speaks.

    Args:
        url: of Ollama, or of a server with the OpenAI API, with its `http://` and its `/v1` or
            without.

    Returns:
        One finding.
    """
    plain = (url if "://" in url else f"http://{url}").rstrip("/")
    ways = [("openai", plain)] if plain.endswith("/v1") else [
        ("ollama", plain), ("openai", f"{plain}/v1"),
    ]  # fmt: skip
    found = [ask_served(*way) for way in ways]
    best = next((one for one in found if not one.failure), None)
    if best is None:
        return next((_without_list("server", one) for one in found if one.is_up),
                    _silent("server", found[0], "start it, or name another address"))  # fmt: skip
    told = some_of(best.models) or "no model yet"
    return Finding("server", "ok", f"{best.url} is up ({best.kind}) and has {told}")


def _is_own(api: ApiEndpoint) -> bool:
    """Whether this is a server of the user's, and no provider's own address."""
    return api.kind == "ollama" or (api.kind == "openai" and api.base_url is not None)


def _about(key: str, api: ApiEndpoint, said: Served) -> Finding:
    about = f"{key} server"
    if not said.is_up:
        start = "ollama serve" if api.kind == "ollama" else "start the server"
        return _silent(about, said, f"{start}, or write another {key}.base_url")
    if said.failure:
        return _without_list(about, said)
    if said.has(api.model):
        return Finding(about, "ok", f"{said.url} is up and has {api.model}")
    told = f"{said.url} is up, but has no {api.model}{did_you_mean(api.model, said.models)}"
    there = some_of(said.models) or "none"
    pull = f"ollama pull {api.model}; " if api.kind == "ollama" else ""
    return Finding(about, "missing", told, f"{pull}its models: {there}")


def _silent(about: str, said: Served, mend: str) -> Finding:
    return Finding(about, "missing", f"nobody answers at {said.url} ({said.failure})", mend)


def _without_list(about: str, said: Served) -> Finding:
    if said.failure == "key_refused":
        told = f"{said.url} is up and wants a key before it tells its models"
    else:
        told = f"{said.url} answers, but lists no models ({said.failure})"
    return Finding(about, "note", told)
