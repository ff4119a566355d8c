"""OpenAI's batch endpoint on the wire: a file of questions in, files of answers and errors out.

A line of the file is `{"custom_id": key, "method": "POST", "url": ..., "body": ...}`; a line that
comes back has the same `custom_id` with `response: {status_code, body}` or `error: {code}`, in any
order.

Source: https://developers.openai.com/api/docs/guides/batch, and the reference of `batches` and
`files` beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from stillhouse.core.errors import UsageError
from stillhouse.engines.batches import BatchPage, BatchStatus, Output
from stillhouse.engines.gateway import Question
from stillhouse.engines.http import Http, plain_word, read_failure, read_reply
from stillhouse.engines.keys import Key
from stillhouse.engines.openai_wire import OpenAIWire
from stillhouse.engines.outcomes import Failure, Reply
from stillhouse.engines.wire import ChatWire

T = TypeVar("T")

_ENDPOINT = "/v1/chat/completions"
_WINDOW = "24h"  # the only one there is
_TOKEN = "stillhouse_batch"
_BOUNDARY = "stillhouse-a-file-of-questions"
"""No line of JSON can begin like that, so no question can end the form."""
_PAGE = 100  # the most that the list gives at a time

_OVER = {
    "completed": "missing_line",
    "failed": "batch_refused",
    "expired": "batch_expired",
    "cancelled": "batch_cancelled",
}
"""What a batch ended as, and what became of lines that no file tells of."""

_OF_LINE = {
    "batch_expired": "batch_expired",
    "batch_cancelled": "batch_cancelled",
    "request_timeout": "timeout",
}
"""Codes of lines that were not answered; of others nobody knows whether they are billed."""

_OF_BATCH = {"token_limit_exceeded": "rate_limited"}
"""Codes of batches that were turned down for another reason than their lines."""


class OpenAIBatches:
    """The batch endpoint beside one model's chat completions.

    Args:
        wire: of the chat completions.

    Raises:
        UsageError: a server of that kind has no such endpoint.
    """

    def __init__(self, wire: OpenAIWire) -> None:
        if not wire.dialect.has_batches:
            raise UsageError(
                f"a server of kind {wire.dialect.name!r} has no batch endpoint",
                "leave teacher.api.batch out",
            )
        self.chat: ChatWire = wire
        self._base = wire.url.removesuffix("/chat/completions")

    def line(self, question: Question) -> bytes:
        """A question as a line of the file."""
        head = {"custom_id": question.key, "method": "POST", "url": _ENDPOINT}
        # the body stands there to the byte as it would be sent alone
        return json.dumps(head).encode()[:-1] + b', "body": ' + question.body + b"}\n"

    async def upload(self, http: Http, key: Key, lines: Sequence[bytes]) -> str | Failure:
        """The provider's name of a file of questions."""
        kind = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
        found = await http.post(
            f"{self._base}/files", {**self.chat.headers(key), **kind}, _form(lines)
        )
        return _read(found, lambda value: _name(value["id"]))

    async def create(self, http: Http, key: Key, file: str, token: str) -> BatchStatus | Failure:
        """A batch of an uploaded file; the token is found again in the list."""
        told = {
            "input_file_id": file,
            "endpoint": _ENDPOINT,
            "completion_window": _WINDOW,
            "metadata": {_TOKEN: token},
        }
        body = json.dumps(told).encode()
        return _read(
            await http.post(f"{self._base}/batches", self.chat.headers(key), body), _status
        )

    async def look(self, http: Http, key: Key, remote: str) -> BatchStatus | Failure:
        """How far a batch is."""
        return _read(
            await http.get(f"{self._base}/batches/{remote}", self.chat.headers(key)), _status
        )

    async def page(self, http: Http, key: Key, after: str) -> BatchPage | Failure:
        """A part of the list of batches."""
        query = f"limit={_PAGE}" + (f"&after={after}" if after else "")
        return _read(await http.get(f"{self._base}/batches?{query}", self.chat.headers(key)), _page)

    async def fetch(self, http: Http, key: Key, file: str) -> Output | Failure:
        """What a file says."""
        found = await http.download(f"{self._base}/files/{file}/content", self.chat.headers(key))
        return found if isinstance(found, Failure) else read_output(found)


def read_output(content: bytes) -> Output:
    """The outcomes in a file, of answers or of errors.

    Args:
        content: a line each; one that was torn is left out.

    Returns:
        The outcomes.
    """
    outcomes: dict[str, Reply | Failure] = {}
    is_whole = True
    for line in filter(bytes.strip, content.splitlines()):
        try:
            value = json.loads(line)
            outcomes[value["custom_id"]] = _outcome(value)
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            is_whole = False
    return Output(outcomes, is_whole)


def _outcome(value: Mapping[str, Any]) -> Reply | Failure:
    response = value.get("response")
    if isinstance(response, dict):
        status, body = response.get("status_code"), json.dumps(response.get("body")).encode()
        if status == 200:
            return read_reply(body)
        if isinstance(status, int) and status >= 300:
            return read_failure(status, {}, body)
        return Failure("wrong_shape")
    code = _code(value.get("error"))
    return Failure(_OF_LINE.get(code, "error_in_body"), 0, code)


def _read(found: Reply | Failure, read: Callable[[Mapping[str, Any]], T]) -> T | Failure:
    if isinstance(found, Failure):
        return found
    try:
        return read(found.value)
    except (KeyError, TypeError, ValueError, AttributeError):
        return Failure("wrong_shape", 200)


def _page(value: Mapping[str, Any]) -> BatchPage:
    batches = [_status(one) for one in value["data"]]
    return BatchPage(batches, batches[-1].remote if value.get("has_more") and batches else "")


def _status(value: Mapping[str, Any]) -> BatchStatus:
    status, counts = value["status"], value.get("request_counts") or {}
    answered, failed = int(counts.get("completed") or 0), int(counts.get("failed") or 0)
    problems = [one for one in (value.get("errors") or {}).get("data") or () if one]
    codes = [_code(one) for one in problems]
    rest = next((_OF_BATCH[code] for code in codes if code in _OF_BATCH), _OVER.get(status))
    files = (value.get("output_file_id"), value.get("error_file_id"))
    return BatchStatus(
        remote=_name(value["id"]),
        file=str(value.get("input_file_id") or ""),
        token=str((value.get("metadata") or {}).get(_TOKEN) or ""),
        is_over=status in _OVER,
        answered=answered,
        finished=answered + failed,
        files=tuple(_name(file) for file in files if file),
        rest=Failure(rest or "missing_line", 0, " ".join(dict.fromkeys(filter(None, codes)))),
        refused={
            one["line"]: Failure("bad_request", 0, code)
            for one, code in zip(problems, codes, strict=True)
            if isinstance(one.get("line"), int) and code not in _OF_BATCH
        },
    )


def _name(told: Any) -> str:
    """A name that can stand in an address; a ValueError for another."""
    if not plain_word(str(told)):
        raise ValueError("no name")
    return str(told)


def _code(error: Any) -> str:
    return plain_word(str(error.get("code") or "")) if isinstance(error, dict) else ""


def _form(lines: Sequence[bytes]) -> bytes:
    head = (
        f"--{_BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f"--{_BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="file"; filename="questions.jsonl"\r\n'
        "Content-Type: application/jsonl\r\n\r\n"
    )
    return head.encode() + b"".join(lines) + f"\r\n--{_BOUNDARY}--\r\n".encode()
