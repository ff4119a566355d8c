"""OpenAI's files and batches, as its reference documents them, with the faults of a plan.

A batch is worked off when it is made: what it answers is billed then, whoever fetches it or not.
"""

import json
import re
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.engines.fakes.server import INPUT_NANO, OUTPUT_NANO, Call

LINE_KEYS = {"custom_id", "method", "url", "body"}


@dataclass
class Plan:
    """How batches go.

    Attributes:
        looks: so many are needed before a batch is over; or a function of the batch's id.
        seconds: it takes at least so long.
        end: how it ends.
        fault: of a line by its number from 0: `missing`, `expired`, `cancelled`, `timeout`,
            `odd`, a status of HTTP, or "".
        bad: codes of lines that validation turns down, by their number from 1.
        turned_down: a code of the whole batch, that names no line.
        lost: so many creations are done and not answered.
        dropped: so many are neither done nor answered.
        refused: faults of the next requests by the last word of their path, such as
            `{"batches": ["rate_limited"]}`; `look`, `list` and `content` are others.
        torn: so many downloads are half of the file.
        retry_after: header of a 429.
        forgets: the server knows no batch any more.
    """

    looks: object = 1
    seconds: float = 0.0
    end: str = "completed"
    fault: object = None
    bad: dict = field(default_factory=dict)
    turned_down: str = ""
    lost: int = 0
    dropped: int = 0
    refused: dict = field(default_factory=dict)
    torn: int = 0
    retry_after: str | None = None
    forgets: bool = False


class Batches:
    """Files, batches and a log of (time, what, key)."""

    def __init__(self, server, plan):
        self._server = server
        self.plan = plan
        self.files = {}
        self.made = {}
        self.log = []

    def takes(self, first):
        return re.match(r"\w+ /v1/(files|batches)\b", first) is not None

    def count(self, what):
        return sum(one == what for _, one, _ in self.log)

    def answer(self, first, headers, content):
        method, target, _ = first.split(" ")
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        key = self._server.speech.key_of(headers)
        what = _what(method, path)
        self.log.append((time.monotonic(), what, key))
        keys = self._server.behaviour.keys
        if keys and key not in keys:
            return self._error("key_refused")
        faults = self.plan.refused.get(what)
        if faults and (fault := faults.pop(0)):
            return self._error(fault)
        words = path.split("/")
        match what:
            case "files":
                return self._upload(headers, content)
            case "batches":
                return self._create(json.loads(content))
            case "list":
                return _ok(self._page(query))
            case "look" if words[3] in self.made and not self.plan.forgets:
                return _ok(self._look(words[3]))
            case "content" if words[3] in self.files:
                return self._content(words[3])
        return self._error("bad_request", 404)

    def _error(self, fault, status=None):
        found, body, headers = self._server.speech.error(fault)
        pause = [("Retry-After", self.plan.retry_after)] if self.plan.retry_after else []
        return status or found, body, [*headers, *(pause if found == 429 else [])]

    def _upload(self, headers, content):
        found = re.fullmatch("multipart/form-data; boundary=(.+)", headers["content-type"])
        parts = content.split(b"--" + found[1].encode())[1:-1]
        told = {}
        for part in parts:
            head, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            told[re.search(rb'; name="(\w+)"', head)[1].decode()] = value.removesuffix(b"\r\n")
        if told["purpose"] != b"batch":
            return self._error("bad_request")
        name = f"file-in{len(self.files)}"
        self.files[name] = told["file"]
        return _ok({
            "id": name, "object": "file", "bytes": len(told["file"]), "purpose": "batch",
            "created_at": 1_700_000_000, "filename": "questions.jsonl", "status": "processed",
        })  # fmt: skip

    def _create(self, body):
        assert set(body) <= {"input_file_id", "endpoint", "completion_window", "metadata"}
        plan = self.plan
        if plan.dropped:
            plan.dropped -= 1
            return None
        if body["input_file_id"] not in self.files or body["endpoint"] != "/v1/chat/completions":
            return self._error("bad_request")
        name = f"batch_{len(self.made)}"
        self.made[name] = {
            "at": time.monotonic(), "looks": 0, "body": body, "status": "validating",
            "counts": (0, 0, 0), "errors": None, "files": [None, None],
        }  # fmt: skip
        self._work_off(
            name, [json.loads(one) for one in self.files[body["input_file_id"]].split(b"\n") if one]
        )
        if plan.lost:
            plan.lost -= 1
            return None
        return _ok(self._told(name))

    def _work_off(self, name, lines):
        plan, batch = self.plan, self.made[name]
        errors = self._problems(lines)
        if errors:
            plan.bad, plan.turned_down = {}, ""
            batch.update(status="failed", errors={"object": "list", "data": errors})
            return
        output, failed = [], []
        for number, line in enumerate(lines):
            fault = plan.fault(number) if plan.fault else ""
            done = {"id": f"batch_req_{number}", "custom_id": line["custom_id"]}
            if fault in ("expired", "cancelled", "timeout", "odd"):
                code = {"timeout": "request_timeout", "odd": "who_knows"}.get(
                    fault, f"batch_{fault}"
                )
                failed.append(done | {"response": None, "error": {"code": code, "message": "no"}})
            elif isinstance(fault, int):
                body = json.loads(self._server.speech.error("bad_request")[1])
                response = {"status_code": fault, "request_id": "r", "body": body}
                failed.append(done | {"response": response, "error": None})
            else:
                response = {"status_code": 200, "request_id": "r", "body": self._ask(line["body"])}
                output += (
                    [] if fault == "missing" else [done | {"response": response, "error": None}]
                )
        batch.update(status=plan.end, counts=(len(lines), len(output), len(failed)))
        for place, found in enumerate((output, failed)):
            if found:
                batch["files"][place] = file = f"file-out{len(self.files)}"
                # in an order of their own
                text = [json.dumps(one).encode() + b"\n" for one in reversed(found)]
                self.files[file] = b"".join(text)

    def _problems(self, lines):
        plan = self.plan
        bad = dict(plan.bad)
        for number, line in enumerate(lines, 1):
            if set(line) != LINE_KEYS or line["url"] != "/v1/chat/completions":
                bad[number] = "invalid_json_line"
            elif self._server.speech.problem_of(line["body"], {}):
                bad[number] = "invalid_request"
        if len({line["custom_id"] for line in lines}) < len(lines):
            bad[1] = "duplicate_custom_id"
        errors = [
            {"code": code, "line": number, "message": "no", "param": None}
            for number, code in bad.items()
        ]
        if plan.turned_down:
            errors.append({"code": plan.turned_down, "line": None, "message": "n", "param": None})
        return errors

    def _ask(self, body):
        server = self._server
        reply = server.speech.reply(body, "", server.behaviour.say, len(server.calls))
        prompt, written = server.speech.tokens(reply)
        cost = (INPUT_NANO * prompt + OUTPUT_NANO * written) // 2
        question = server.speech.question_of(body)
        server.calls.append(Call(time.monotonic(), "", "", question, cost, body))
        return reply

    def _look(self, name):
        self.made[name]["looks"] += 1
        return self._told(name)

    def _told(self, name):
        batch, plan = self.made[name], self.plan
        looks = plan.looks(name) if callable(plan.looks) else plan.looks
        is_over = batch["looks"] >= looks and time.monotonic() - batch["at"] >= plan.seconds
        total, completed, failed = batch["counts"] if is_over else (batch["counts"][0], 0, 0)
        output, error = batch["files"] if is_over else (None, None)
        body = batch["body"]
        return {
            "id": name, "object": "batch", "endpoint": body["endpoint"],
            "errors": batch["errors"] if is_over else None,
            "input_file_id": body["input_file_id"], "completion_window": "24h",
            "status": batch["status"] if is_over else "in_progress",
            "output_file_id": output, "error_file_id": error,
            "created_at": 1_700_000_000, "metadata": body.get("metadata"),
            "request_counts": {"total": total, "completed": completed, "failed": failed},
        }  # fmt: skip

    def _page(self, query):
        names = [] if self.plan.forgets else list(reversed(self.made))
        after = query.get("after", [""])[0]
        start = names.index(after) + 1 if after else 0
        length = int(query.get("limit", ["20"])[0])
        page = names[start : start + length]
        return {
            "object": "list", "data": [self._told(one) for one in page],
            "first_id": page[0] if page else None, "last_id": page[-1] if page else None,
            "has_more": start + length < len(names),
        }  # fmt: skip

    def _content(self, name):
        whole = self.files[name]
        if self.plan.torn:
            self.plan.torn -= 1
            whole = whole[: len(whole) // 2 - 9]
        return 200, whole, ()


def _what(method, path):
    words = path.split("/")
    if words[-1] == "content":
        return "content"
    if method == "POST":
        return words[2]
    return "list" if len(words) == 3 else "look"


def _ok(value):
    return 200, json.dumps(value).encode(), ()
