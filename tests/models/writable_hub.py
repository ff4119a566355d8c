"""A hub on this machine that can be written to: repositories, large files by their digest, commits.

It speaks what `huggingface_hub` sends without Xet: `repos/create`, `preupload`, the batch and the
uploads of Git LFS, and the commit as lines of JSON. It refuses a commit that names a large file
which it never got, and one whose bytes are not those of its digest.
"""

import base64
import hashlib
import json

from aiohttp import web
from tests.engines.fakes.aio_server import AioServer

TOKEN = "hf_of_tests"
LARGE = (".safetensors", ".gguf")
STATUS = {"unknown": 401, "forbidden": 403, "missing": 404, "conflict": 409, "broken": 500,
          "busy": 429, "odd": 422}  # fmt: skip


class WritableHub(AioServer):
    """Attributes: `repos`: id -> {path: bytes}; `private`: ids; `commits`: messages by id."""

    def __init__(self, faults=()):
        super().__init__(faults)
        self.repos, self.private, self.commits, self.large = {}, set(), {}, {}
        self.received_bytes = 0

    async def handle(self, request):
        if request.method == "PUT":
            return await self._upload(request)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _error(401, "Invalid username or password.")
        for fault, status in STATUS.items():
            if self.takes(fault):
                return _error(status, f"planted {fault}")
        path = request.path.strip("/")
        if path == "api/validate-yaml":
            return web.json_response({"errors": [], "warnings": []})
        if path == "api/repos/create":
            return await self._create(request)
        if path.endswith(".git/info/lfs/objects/batch"):
            return await self._batch(request)
        _, _, owner, name, *rest = path.split("/")
        repo_id = f"{owner}/{name}"
        if repo_id not in self.repos:
            return _error(404, "Repository not found", "RepoNotFound")
        kind = rest[0] if rest else "info"
        return await getattr(self, f"_{kind.replace('-', '_')}")(request, repo_id)

    async def _create(self, request):
        told = await request.json()
        repo_id = f"{told['organization']}/{told['name']}"
        url = {"url": f"{self.url}/{repo_id}"}
        if repo_id in self.repos:
            return web.json_response(url | {"error": "You already created this model repo"},
                                     status=409)  # fmt: skip
        self.repos[repo_id] = {".gitattributes": b"*.safetensors filter=lfs"}
        self.commits[repo_id] = ["initial commit"]
        if told.get("visibility") == "private":
            self.private.add(repo_id)
        return web.json_response(url)

    async def _info(self, _request, repo_id):
        told = {"id": repo_id, "sha": self._sha(repo_id), "private": repo_id in self.private}
        return web.json_response(told | {"siblings": []})

    _revision = _info

    async def _tree(self, _request, repo_id):
        entries = [
            {"type": "file", "path": path, "size": len(data), "oid": _blob(data)}
            | ({"lfs": {"oid": _sha256(data), "size": len(data), "pointerSize": 1}}
               if path.endswith(LARGE) else {})
            for path, data in self.repos[repo_id].items()
        ]  # fmt: skip
        return web.json_response(entries)

    async def _preupload(self, request, repo_id):
        there = self.repos[repo_id]
        if self.takes("meanwhile"):
            there["of-somebody-else.txt"] = b"theirs"
            self.commits[repo_id].append("theirs")
        files = []
        for one in (await request.json())["files"]:
            is_large, data = one["path"].endswith(LARGE), there.get(one["path"])
            mode = "lfs" if is_large else "regular"
            oid = None if data is None else (_sha256(data) if is_large else _blob(data))
            files.append({"path": one["path"], "uploadMode": mode, "shouldIgnore": False,
                          "oid": oid})  # fmt: skip
        return web.json_response({"files": files})

    async def _batch(self, request):
        objects = []
        for one in (await request.json())["objects"]:
            url = f"{self.url}/upload/{one['oid']}"
            known = one["oid"] in self.large
            objects.append(one | ({} if known else {"actions": {"upload": {"href": url}}}))
        return web.json_response({"transfer": "basic", "objects": objects})

    async def _upload(self, request):
        oid, data = request.path.rpartition("/")[2], b""
        if self.takes("cut"):
            await request.content.readany()
            request.transport.abort()
            return web.Response()
        data = await request.read()
        self.received_bytes += len(data)
        if _sha256(data) != oid:
            return _error(400, "digest mismatch")
        self.large[oid] = data
        return web.Response()

    async def _commit(self, request, repo_id):
        if self.takes("commit_conflict"):
            return _error(412, "A commit has happened since. Please refresh and try again.")
        lines = [json.loads(line) for line in (await request.text()).splitlines()]
        parents = {one["value"].get("parentCommit") for one in lines if one["key"] == "header"}
        if not parents <= {None, self._sha(repo_id)}:
            return _error(412, "A commit has happened since. Please refresh and try again.")
        after = dict(self.repos[repo_id])
        for one in lines:
            value = one["value"]
            if one["key"] == "file":
                after[value["path"]] = base64.b64decode(value["content"])
            elif one["key"] == "lfsFile":
                if value["oid"] not in self.large:
                    return _error(400, f"{value['path']} was never uploaded")
                after[value["path"]] = self.large[value["oid"]]
            elif one["key"] == "deletedFile":
                del after[value["path"]]
            else:
                self.commits[repo_id].append(value["summary"])
        if self.takes("torn"):
            name = next(path for path in after if path.endswith(LARGE))
            after[name] = after[name][:-1]
        self.repos[repo_id] = after
        sha = self._sha(repo_id)
        url = f"{self.url}/{repo_id}/commit/{sha}"
        return web.json_response({"commitUrl": url, "commitOid": sha})

    def _sha(self, repo_id):
        return hashlib.sha1("\n".join(self.commits[repo_id]).encode()).hexdigest()


def _sha256(data):
    return hashlib.sha256(data).hexdigest()


def _blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _error(status, message, code=""):
    headers = {"X-Error-Message": message, "Retry-After": "7"}
    headers |= {"X-Error-Code": code} if code else {}
    return web.json_response({"error": message}, status=status, headers=headers)
