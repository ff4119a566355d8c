"""Ollama's own models: what one is, and making one from files.

Source: https://docs.ollama.com/openapi.yaml, `/api/show`, `/api/create`, `/api/blobs`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from stillhouse.core.errors import StillhouseError
from stillhouse.engines.http import Http
from stillhouse.engines.outcomes import Failure

_TIMEOUT_S = 600.0  # assumption: reading and quantizing a large file takes no longer
_BLOCK = 1 << 20
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class NewModel:
    """What a model is made of.

    Attributes:
        name: that it will have.
        files: weights by the name of the file, such as one GGUF.
        adapters: the same, to lay over `base`.
        base: a model that Ollama has, which adapters go with; empty with `files`.
        template: of the conversation, in Ollama's own language; empty keeps the file's.
        system: the prompt that every conversation opens with.
        parameters: options that hold when a request says nothing.
    """

    name: str
    files: Mapping[str, Path] = field(default_factory=dict)
    adapters: Mapping[str, Path] = field(default_factory=dict)
    base: str = ""
    template: str = ""
    system: str = ""
    parameters: Mapping[str, float | int | str] = field(default_factory=dict)


def show_model(base_url: str, name: str) -> dict[str, Any]:
    """What a server knows of a model: template, parameters, details, capabilities.

    Args:
        base_url: of the server.
        name: of the model.

    Returns:
        The server's JSON object.

    Raises:
        StillhouseError: no server, or no such model.
    """
    return asyncio.run(_post(base_url, "/api/show", {"model": name}))


def create_model(base_url: str, model: NewModel) -> None:
    """Make a model out of files; one of that name is replaced.

    Args:
        base_url: of the server.
        model: what it is made of.

    Raises:
        StillhouseError: no server, or it does not take the files.
    """
    asyncio.run(_create(base_url, model))


async def _create(base_url: str, model: NewModel) -> None:
    told: dict[str, Any] = {
        "from": model.base,
        "files": {name: await _push(base_url, path) for name, path in model.files.items()},
        "adapters": {name: await _push(base_url, path) for name, path in model.adapters.items()},
        "template": model.template,
        "system": model.system,
        "parameters": dict(model.parameters),
    }
    given = {name: value for name, value in told.items() if value}
    found = await _post(base_url, "/api/create", {"model": model.name, "stream": False} | given)
    if found.get("status") != "success":
        raise StillhouseError(
            f"Ollama did not make {model.name}: {found.get('status')!r}", "see the server's log"
        )


async def _push(base_url: str, path: Path) -> str:
    with path.open("rb") as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    url = f"{base_url.rstrip('/')}/api/blobs/{digest}"
    timeout = aiohttp.ClientTimeout(total=None, sock_read=_TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
            async with session.head(url) as known:
                if known.status == 200:
                    return digest
            with path.open("rb") as file:
                async with session.post(url, data=file) as answered:
                    status = answered.status
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
        raise _unreachable(base_url, type(error).__name__) from None
    if status not in (200, 201):
        raise StillhouseError(f"Ollama refused {path.name} with status {status}")
    return digest


async def _post(base_url: str, place: str, body: Mapping[str, Any]) -> dict[str, Any]:
    async with Http(1, _TIMEOUT_S) as http:
        found = await http.post(base_url.rstrip("/") + place, _JSON, json.dumps(body).encode())
    if not isinstance(found, Failure):
        return found.value
    if found.status == 404:
        raise StillhouseError(
            f"Ollama at {base_url} has no model {body['model']!r}", "pull it, or create it"
        )
    raise _unreachable(base_url, f"{found.reason} {found.status or ''}".strip())


def _unreachable(base_url: str, why: str) -> StillhouseError:
    return StillhouseError(f"Ollama at {base_url} gave no answer: {why}", "is `ollama serve` up?")
