"""Ollama's own models: what one is, making one from files, and asking it.

A file is sent in blocks, by its sha256, and only where the server does not have it; so a call that
was cut is simply made again. Whatever a server says of an error is passed on, because no request
here carries a key or a prompt that is not the caller's own.

Source: https://docs.ollama.com/openapi.yaml; `CreateHandler` of Ollama's server for its errors.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from stillhouse.core.errors import StillhouseError
from stillhouse.core.rows import Message

_TIMEOUT_S = 600.0  # assumption: reading and quantizing a large file takes no longer
_BLOCK_BYTES = 1 << 20
_MOST_LINE_BYTES = 1 << 20
_AGAIN = "make the same call again: files that arrived whole are not sent again"
_MENDS = (
    ("no space left", "free space where Ollama keeps its models, then make the same call again"),
    ("adapters are no longer supported", "ship the whole student: export.formats: [gguf, "
     "modelfile], without export.modelfile.base"),
    ("unsupported architecture", "this Ollama is too old for such a model: update it"),
)  # fmt: skip
"""What a server says, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A file to send.

    Attributes:
        path: where it lies.
        sha256: of its bytes, hexadecimal.
    """

    path: Path
    sha256: str


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
        licence: of the model, in words.
        parameters: options that hold when a request says nothing.
    """

    name: str
    files: Mapping[str, Blob] = field(default_factory=dict)
    adapters: Mapping[str, Blob] = field(default_factory=dict)
    base: str = ""
    template: str = ""
    system: str = ""
    licence: str = ""
    parameters: Mapping[str, float | int | list[str]] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """As `/api/create` takes it, without what is empty."""
        told: dict[str, Any] = {
            "from": self.base,
            "files": {name: f"sha256:{blob.sha256}" for name, blob in self.files.items()},
            "adapters": {name: f"sha256:{blob.sha256}" for name, blob in self.adapters.items()},
            "template": self.template,
            "system": self.system,
            "license": self.licence,
            "parameters": dict(self.parameters),
        }
        given = {name: value for name, value in told.items() if value}
        return {"model": self.name, "stream": True} | given


class OllamaModels:
    """The models of a server.

    Args:
        base_url: of the server.
        tell: is told each thing that the server says it does.
    """

    def __init__(self, base_url: str, tell: Callable[[str], None] = lambda _: None) -> None:
        self.base_url = base_url.rstrip("/")
        self._tell = tell

    def version(self) -> str:
        """The server's version; a `StillhouseError` where there is no Ollama."""
        found = self._ask("GET", "/api/version")
        return str(found.get("version", "unknown"))

    def show(self, name: str) -> dict[str, Any]:
        """What the server knows of a model: template, parameters, details, `model_info`.

        Args:
            name: of the model.

        Returns:
            The server's JSON object.

        Raises:
            StillhouseError: no server, or no such model.
        """
        return self._ask("POST", "/api/show", {"model": name})

    def digest(self, name: str) -> str:
        """The digest that `ollama list` shows of a model, hexadecimal; empty where it is not."""
        whole = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
        listed = self._ask("GET", "/api/tags").get("models", [])
        found = (one.get("digest", "") for one in listed if one.get("name") == whole)
        return str(next(found, "")).removeprefix("sha256:")

    def create(self, model: NewModel) -> None:
        """Make a model; one of that name is replaced.

        Args:
            model: what it is made of.

        Raises:
            StillhouseError: no server, it does not take the files or the model, or the connection
                was cut; what arrived whole stays there.
        """
        asyncio.run(self._create(model))

    def rename(self, name: str, new: str) -> None:
        """Give a model another name, in the place of whatever had that one before."""
        self._ask("POST", "/api/copy", {"source": name, "destination": new})
        self.delete(name)

    def delete(self, name: str) -> None:
        """Delete a model."""
        self._ask("DELETE", "/api/delete", {"model": name})

    def answer(
        self, name: str, messages: Sequence[Message], options: Mapping[str, float | int]
    ) -> str:
        """What a model answers.

        Args:
            name: of the model.
            messages: the conversation; without a system turn the model's own is added there.
            options: before those of the model.

        Returns:
            The text.

        Raises:
            StillhouseError: there is no answer.
        """
        turns = [{"role": one.role, "content": one.content} for one in messages]
        asked = {"model": name, "messages": turns, "stream": False, "options": dict(options)}
        found = self._ask("POST", "/api/chat", asked)
        message = found.get("message")
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise StillhouseError(f"Ollama at {self.base_url} gave {name} no answer to give")
        return str(message["content"])

    def _ask(
        self, method: str, place: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return asyncio.run(self._asked(method, place, body))

    async def _asked(
        self, method: str, place: str, body: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        async with self._session() as session:
            try:
                async with session.request(method, self.base_url + place, json=body) as answered:
                    status, content = answered.status, await answered.read()
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                raise self._unreachable(type(error).__name__) from None
        if status != 200:
            raise self._refused(place, status, content, str((body or {}).get("model", "")))
        value = _object(content) if content.strip() else {}
        if value is None:
            raise self._unreachable(f"{place} gave no JSON object")
        return value

    async def _create(self, model: NewModel) -> None:
        async with self._session() as session:
            try:
                for name, blob in [*model.files.items(), *model.adapters.items()]:
                    await self._send(session, name, blob)
                await self._make(session, model)
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                raise self._unreachable(type(error).__name__) from None

    async def _send(self, session: aiohttp.ClientSession, name: str, blob: Blob) -> None:
        url = f"{self.base_url}/api/blobs/sha256:{blob.sha256}"
        async with session.head(url) as known:
            if known.status == 200:
                self._tell(f"{name} is there")
                return
        size = blob.path.stat().st_size
        self._tell(f"sending {name}, {size:,} bytes")
        async with session.post(
            url, data=_blocks(blob.path), headers={"Content-Length": str(size)}
        ) as answered:
            if answered.status not in (200, 201):
                raise self._refused("/api/blobs", answered.status, await answered.read(), "")

    async def _make(self, session: aiohttp.ClientSession, model: NewModel) -> None:
        last = ""
        async with session.post(f"{self.base_url}/api/create", json=model.body()) as answered:
            if answered.status != 200:
                content = await answered.read()
                raise self._refused("/api/create", answered.status, content, model.base)
            async for line in _lines(answered.content):
                value = _object(line)
                if value is None or "error" in value:
                    told = line.decode(errors="replace")[:200] if value is None else value["error"]
                    raise self._failed(f"did not make {model.name}: {told}")
                if value.get("status", "") != last:
                    last = str(value.get("status", ""))
                    self._tell(last)
        if last != "success":
            raise StillhouseError(
                f"Ollama at {self.base_url} did not say that {model.name} is made: its answer "
                f"ended with {last!r}",
                _AGAIN,
            )

    def _session(self) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=20.0, sock_read=_TIMEOUT_S)
        return aiohttp.ClientSession(timeout=timeout, trust_env=False)

    def _unreachable(self, why: str) -> StillhouseError:
        return StillhouseError(
            f"Ollama at {self.base_url} gave no answer: {why}", f"is `ollama serve` up? {_AGAIN}"
        )

    def _refused(self, place: str, status: int, content: bytes, model: str) -> StillhouseError:
        said = str((_object(content) or {}).get("error", ""))
        if status == 404 and model and said:
            return StillhouseError(
                f"Ollama at {self.base_url} has no model {model!r}", f"ollama pull {model}"
            )
        if status == 404:
            return StillhouseError(
                f"the server at {self.base_url} has no {place}: an Ollama older than 0.5.5, or "
                "none at all",
                "update Ollama, or use `ollama create` with the bundle's Modelfile",
            )
        return self._failed(f"answers {place} with status {status}: {said or 'nothing else'}")

    def _failed(self, what: str) -> StillhouseError:
        mend = next((mend for sign, mend in _MENDS if sign in what), "see the server's log")
        return StillhouseError(f"Ollama at {self.base_url} {what}", mend)


async def _blocks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            yield block


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Whole lines, however long; the reader of aiohttp gives up at its own limit."""
    held = b""
    async for block in content.iter_any():
        *lines, held = (held + block).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
        if len(held) > _MOST_LINE_BYTES:
            break
    if held.strip():
        yield held


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
