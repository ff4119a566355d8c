"""The part of Ollama that keeps models: blobs, `/api/create` and what is asked of a model after it.

It refuses what the real one refuses: blobs with other bytes, files that it never got, fields and
parameters that it does not know, templates that do not parse, models that are no GGUF. Faults are
planted by name and are used up one after the other.
"""

import hashlib
import json
import re

from aiohttp import web
from tests.engines.fakes.aio_server import AioServer
from tests.export.ollama_text import parse, parse_template

FIELDS = {
    "model", "from", "files", "adapters", "template", "license", "system", "parameters", "messages",
    "stream", "quantize",
}  # fmt: skip
OPTIONS = {
    "num_ctx": int, "temperature": (int, float), "top_p": (int, float), "top_k": int, "stop": list,
    "repeat_penalty": (int, float), "num_predict": int, "seed": int,
}  # fmt: skip
NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?(:[\w.-]+)?")
NO_ROOM = "write /models/blobs/sha256-12: no space left on device"
DROPPED = "LoRA adapters are no longer supported"


class OllamaStore(AioServer):
    """`with OllamaStore(folder) as server`: keeps what it gets in that folder.

    Args:
        folder: of the blobs.
        answer: text by a model's record, messages and options.
        faults: names, used up in their order where they apply.
        infos: name of a model that is there from the start -> its `model_info`.
    """

    def __init__(self, folder, answer=None, faults=(), infos=None):
        super().__init__(faults)
        self.folder, self.answer = folder, answer
        self.models = {name: {"info": info} for name, info in (infos or {}).items()}
        self.received_bytes = 0
        self.spoil = lambda model: model

    def digest(self, name):
        plain = json.dumps(self.models[name], sort_keys=True, default=str)
        return hashlib.sha256(plain.encode()).hexdigest()

    def path(self, digest):
        return self.folder / digest.replace(":", "-")

    async def handle(self, request):
        place = request.path.removeprefix("/api/")
        is_post = request.method == "POST"
        if is_post and self.takes("server_error"):
            return web.json_response({"error": "planted"}, status=500)
        if is_post and self.takes("old"):
            return web.Response(text="404 page not found", status=404)
        if place.startswith("blobs/"):
            return await self._blob(request, place.removeprefix("blobs/"))
        body = await request.json() if request.body_exists else {}
        found = getattr(self, f"_{request.method.lower()}_{place}", None)
        if found is None:
            return web.Response(text="404 page not found", status=404)
        return await found(request, body)

    async def _blob(self, request, digest):
        if request.method == "HEAD":
            return web.Response(status=200 if self.path(digest).exists() else 404)
        state, size, part = hashlib.sha256(), 0, self.path("part")
        cut = self.takes("blob_cut")
        with part.open("wb") as file:
            async for block in request.content.iter_any():
                state.update(block)
                file.write(block)
                size += len(block)
                if cut:
                    request.transport.abort()
                    return web.Response()
        self.received_bytes += size
        if self.takes("blob_no_room"):
            return web.json_response({"error": NO_ROOM}, status=500)
        if digest != "sha256:" + state.hexdigest() or self.takes("blob_torn"):
            told = f'digest mismatch, expected "{digest}", got "sha256:{state.hexdigest()}"'
            return web.json_response({"error": told}, status=400)
        part.rename(self.path(digest))
        return web.Response(status=201)

    async def _post_create(self, request, body):
        problem = self.problem_of(body)
        if problem:
            return web.json_response({"error": problem}, status=400)
        answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await answer.prepare(request)
        await self._tell(answer, status="parsing GGUF")
        if self.takes("stream_error"):
            await self._tell(answer, error="planted: something broke", status=500)
            return answer
        if self.takes("stream_no_room"):
            await self._tell(answer, error=NO_ROOM)
            return answer
        if self.takes("stream_nonsense"):
            await answer.write(b"<html>bad gateway</html>\n")
            return answer
        if self.takes("stream_cut"):
            request.transport.abort()
            return answer
        if self.takes("stream_ends"):
            return answer
        if body.get("from") and whole(body["from"]) not in self.models:
            await self._tell(answer, error="pull model manifest: file does not exist")
            return answer
        self.models[whole(body["model"])] = self.spoil(body)
        for status in ("creating new layer sha256:1", "writing manifest", "success"):
            await self._tell(answer, status=status)
        return answer

    async def _tell(self, answer, **values):
        await answer.write(json.dumps(values).encode() + b"\n")

    def problem_of(self, body):
        """What Ollama would refuse of a request before it begins."""
        if set(body) - FIELDS:
            return f"unknown fields {set(body) - FIELDS}"
        if not NAME.fullmatch(body.get("model", "")):
            return "invalid model name"
        if body.get("adapters") and self.takes("no_adapters"):
            return DROPPED
        files = {**body.get("files", {}), **body.get("adapters", {})}
        if not files and not body.get("from"):
            return "neither 'from' or 'files' was specified"
        for name, digest in files.items():
            if name.startswith("/") or ".." in name.split("/"):
                return "file path must be relative"
            if not self.path(digest).is_file():
                return f"blob {digest} not found"
            with self.path(digest).open("rb") as blob:
                magic = blob.read(4)
            if magic != b"GGUF":
                return "supplied file was not in GGUF format"
        for name, value in body.get("parameters", {}).items():
            if not isinstance(value, OPTIONS.get(name, ())):
                return f"unknown parameter {name!r}"
        if "template" in body:
            parse_template(body["template"])
        return None

    async def _get_version(self, _request, _body):
        return web.json_response({"version": "0.30.1"})

    async def _get_tags(self, _request, _body):
        listed = [{"name": name, "digest": self.digest(name)} for name in self.models]
        return web.json_response({"models": listed})

    async def _post_show(self, _request, body):
        model = self.models.get(whole(body["model"]))
        if model is None:
            told = f"model '{body['model']}' not found"
            return web.json_response({"error": told}, status=404)
        shown = {"template": model.get("template", ""), "model_info": model.get("info", {})}
        return web.json_response({**shown, "details": {"format": "gguf"}, "capabilities": []})

    async def _post_copy(self, _request, body):
        self.models[whole(body["destination"])] = self.models[whole(body["source"])]
        return web.Response()

    async def _delete_delete(self, _request, body):
        del self.models[whole(body["model"])]
        return web.Response()

    async def _post_chat(self, request, body):
        if self.takes("chat_cut"):
            request.transport.abort()
            return web.Response()
        model = self.models.get(whole(body["model"]))
        if model is None:
            return web.json_response({"error": f"model '{body['model']}' not found"}, status=404)
        turns = [(one["role"], one["content"]) for one in body["messages"]]
        if model.get("system") and (not turns or turns[0][0] != "system"):
            turns.insert(0, ("system", model["system"]))
        text = self.answer(model, turns, body["options"])
        text = "another answer" if self.takes("other_answer") else text
        reply = {"model": body["model"], "message": {"role": "assistant", "content": text}}
        return web.json_response({**reply, "done": True, "done_reason": "stop"})


def whole(name):
    return name if ":" in name else f"{name}:latest"


def request_of(modelfile, name, digests):
    """What `ollama create NAME -f Modelfile` asks `/api/create` for; files by their name."""
    body = {"model": name, "stream": True}
    for command, value in parse(modelfile):
        at = value.removeprefix("./")
        if command == "model" and at in digests:
            body["files"] = {at: f"sha256:{digests[at]}"}
        elif command == "model":
            body["from"] = value
        elif command == "adapter":
            body["adapters"] = {at: f"sha256:{digests[at]}"}
        elif command in ("template", "system", "license"):
            body[command] = value
        else:
            told = body.setdefault("parameters", {})
            kind = OPTIONS[command]
            if kind is list:
                told.setdefault(command, []).append(value)
            else:
                told[command] = int(value) if kind is int else float(value)
    return body
