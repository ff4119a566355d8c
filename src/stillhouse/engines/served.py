"""Which models a server says that it has; asked once, without a key and without a prompt.

Source: https://docs.ollama.com/openapi.yaml (`/api/tags`); the OpenAI API's `/models`, which vLLM,
llama-server and SGLang have too.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from stillhouse.engines.http import Http
from stillhouse.engines.ollama import OllamaEngine
from stillhouse.engines.outcomes import Failure, Reply

_LISTS = {"ollama": ("/api/tags", "models", "name"), "openai": ("/models", "data", "id")}
"""Kind of a server -> where its list stands, its key, and the key of a name in it."""

_SILENT = ("no_connection", "timeout", "reset")


@dataclass(frozen=True, slots=True)
class Served:
    """What a server said.

    Attributes:
        url: of the server.
        kind: that it was asked as.
        models: their names, in its order.
        failure: why there is no list, a word of `engines.outcomes`; empty where there is one.
    """

    url: str
    kind: str
    models: tuple[str, ...] = ()
    failure: str = ""

    @property
    def is_up(self) -> bool:
        """Whether somebody answered, be it with a refusal."""
        return self.failure not in _SILENT

    def has(self, model: str) -> bool:
        """Whether a model is there; Ollama's names end in `:latest` where they have no tag."""
        is_bare = self.kind == "ollama" and ":" not in model.rpartition("/")[2]
        return (f"{model}:latest" if is_bare else model) in self.models


def ask_served(kind: str, base_url: str, timeout_s: float = 3.0) -> Served:
    """The models of a server.

    Args:
        kind: `ollama`, or `openai` for whoever speaks that format.
        base_url: as a recipe writes it; empty is Ollama's own.
        timeout_s: for the whole of it.

    Returns:
        What came of it; no error is raised.
    """
    url = (base_url or OllamaEngine.home.base_url).rstrip("/")
    return asyncio.run(_ask(kind, url, timeout_s))


async def _ask(kind: str, url: str, timeout_s: float) -> Served:
    place, listed, name = _LISTS[kind]
    async with Http(1, timeout_s) as http:
        said: Reply | Failure = await http.get(url + place, {})
    if isinstance(said, Failure):
        return Served(url, kind, failure=said.reason)
    found: Any = said.value.get(listed)
    if not isinstance(found, list):
        return Served(url, kind, failure="wrong_shape")
    named = (one.get(name) for one in found if isinstance(one, dict))
    return Served(url, kind, tuple(one for one in named if isinstance(one, str)))
