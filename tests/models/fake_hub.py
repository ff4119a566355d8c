"""A hub of this machine's own that speaks the Hugging Face hub's wire format over real HTTP."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclass
class Repo:
    """A model on the hub.

    Attributes:
        files: path -> bytes.
        branches: name -> commit.
        gated: answers 403 GatedRepo, as to a token that has not accepted the terms.
        status: answers every request with this status instead.
    """

    files: dict[str, bytes]
    branches: dict[str, str] = field(default_factory=lambda: {"main": "a" * 40})
    gated: bool = False
    status: int = 0


class FakeHub:
    """`with FakeHub({"org/name": Repo(...)}) as hub:` serves at `hub.endpoint`."""

    def __init__(self, repos):
        self.repos = repos
        self.requests = []

    def __enter__(self):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_error):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(hub):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args):
            pass

        def do_GET(self):
            hub.requests.append((self.command, self.path))
            status, headers, body = _answer(hub, urlsplit(self.path).path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

    return Handler


def _answer(hub, path):
    parts = [unquote(part) for part in path.strip("/").split("/")]
    is_api = parts[:2] == ["api", "models"]
    owner, name, *rest = parts[2:] if is_api else parts
    repo = hub.repos.get(f"{owner}/{name}")
    refused = _refusal(repo)
    if refused:
        return refused
    kind, revision, *file = rest or ["revision", "main"]
    commit = revision if revision in repo.branches.values() else repo.branches.get(revision)
    if commit is None:
        return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    if kind == "revision":
        siblings = [{"rfilename": path} for path in repo.files]
        return _json({"id": f"{owner}/{name}", "sha": commit, "siblings": siblings})
    if kind == "tree":
        return _json([_entry(path, data) for path, data in repo.files.items()])
    return _file(repo.files.get("/".join(file)), commit)


def _refusal(repo):
    if repo is None:
        return _error(401, "RepoNotFound", "Repository not found")
    if repo.gated:
        return _error(403, "GatedRepo", "Access to this model is restricted")
    if repo.status:
        status, headers, body = _error(repo.status, "", "no")
        return status, {**headers, "Retry-After": "7"}, body
    return None


def _file(data, commit):
    if data is None:
        return _error(404, "EntryNotFound", "Entry not found")
    headers = {
        "ETag": f'"{_blob(data)}"',
        "X-Repo-Commit": commit,
        "X-Linked-Size": str(len(data)),
        "Accept-Ranges": "bytes",
    }
    return 200, headers, data


def _entry(path, data):
    return {"type": "file", "path": path, "size": len(data), "oid": _blob(data)}


def _blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _json(value):
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _error(status, code, message):
    headers = {"X-Error-Code": code} if code else {}
    return status, {**headers, "X-Error-Message": message}, json.dumps({"error": message}).encode()
