"""One request and what came of it: a whole JSON object or file, or a failure with a name.

No redirect is followed and no proxy or password file is read, because a request carries a key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

import aiohttp

from stillhouse.core.retry_after import retry_after_s
from stillhouse.engines.outcomes import Failure, Reply

R = TypeVar("R")
Coming: TypeAlias = Coroutine[Any, Any, R | Failure]
"""What an `await` gives."""

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_BAD_KEY = re.compile(r"API_KEY_(INVALID|EXPIRED)")
_AMAZON_ERROR = "x-amzn-ErrorType"
_QUOTA = re.compile(r"quota|balance|billing|spend_limit|usage_limit|credit", re.I)

_BY_STATUS = {
    401: "key_refused",
    402: "quota_used_up",
    403: "key_refused",
    408: "timeout",
    424: "bad_gateway",
    429: "rate_limited",
    502: "bad_gateway",
    503: "overloaded",
    504: "bad_gateway",
    529: "overloaded",
}
"""What a status means; others below 500 are `bad_request`, others above are `server_error`.
502 and 504 come from something between that does not know whether the work was done, and so does
Bedrock's 424: the model failed in the middle of its work."""

_MOST_REPLY, _MOST_FILE = 64 << 20, 4 << 30
"""assumption: twenty log-probabilities for each of 16,000 tokens are 30 MB; a batch of 50,000
answers is some hundred MB."""


_NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    UnicodeError,  # a host that cannot be a name
)


class Http:
    """A pool of connections; use it inside one event loop.

    Args:
        connections: open at a time.
        timeout_s: for a whole request.
        connect_s: for the connection alone.
    """

    def __init__(self, connections: int, timeout_s: float, connect_s: float = 20.0) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections),
            timeout=aiohttp.ClientTimeout(total=timeout_s, connect=None, sock_connect=connect_s),
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    # No frame but that of `_send` may hold headers while a request is on its way: see there.
    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Coming[Reply]:
        """Send one request.

        Args:
            url: where to.
            headers: the key among them; they are never shown.
            body: JSON, or whatever the headers say.

        Returns:
            What came back.
        """
        return self._send(url, headers, body, read_reply, _MOST_REPLY)

    def get(self, url: str, headers: Mapping[str, str]) -> Coming[Reply]:
        """The JSON object at an address; arguments as of `post`."""
        return self._send(url, headers, None, read_reply, _MOST_REPLY)

    def download(self, url: str, headers: Mapping[str, str]) -> Coming[bytes]:
        """The bytes at an address, all that were announced; arguments as of `post`."""
        return self._send(url, headers, None, bytes, _MOST_FILE)

    async def _send(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        read: Callable[[bytes], R | Failure],
        most: int,
    ) -> R | Failure:
        method = "GET" if body is None else "POST"
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as response:
                status, answered = response.status, response.headers
                content = await _read_whole(response, most)
        except _NEVER_SENT:
            return Failure("no_connection")
        except TimeoutError:
            return Failure("timeout")
        except (aiohttp.ClientError, ConnectionError, ValueError):
            return Failure("reset")
        except Exception as error:
            headers = {}  # a trace that shows local values must not show the key
            raise error.with_traceback(None) from None
        if content is None:
            return Failure("too_large", status)
        return read(content) if status == 200 else read_failure(status, answered, content)


async def _read_whole(response: aiohttp.ClientResponse, most: int) -> bytes | None:
    """The body; None for a longer one, whose rest is not waited for."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > most:
            return None
    return bytes(body)


def read_reply(content: bytes) -> Reply | Failure:
    """A body that came with status 200.

    Args:
        content: the bytes.

    Returns:
        The JSON object, or what is wrong with it.
    """
    if not content.strip():
        return Failure("empty_body", 200)
    if content.lstrip()[:1] == b"<":
        return Failure("html", 200)
    try:
        value = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        return Failure("wrong_encoding", 200)
    except (ValueError, RecursionError):
        return Failure("truncated_json", 200)
    if not isinstance(value, dict):
        return Failure("wrong_shape", 200)
    if value.get("error"):
        return Failure("error_in_body", 200, _code(value))
    return Reply(content, value)


def read_failure(status: int, headers: Mapping[str, str], content: bytes) -> Failure:
    """A reply that is no answer.

    Args:
        status: of HTTP, not 200.
        headers: of the reply.
        content: its body, looked at for the provider's code only.

    Returns:
        The failure.
    """
    reason = _BY_STATUS.get(status, "server_error" if status >= 500 else "bad_request")
    if status < 400:
        reason = "redirected"
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    code = _code(value) or plain_word(headers.get(_AMAZON_ERROR, "").partition(":")[0])
    if status == 429 and _QUOTA.search(code):
        reason = "quota_used_up"
    if status == 400 and _BAD_KEY.search(code):
        reason = "key_refused"
    pause = retry_after_s(headers.get("Retry-After"))
    return Failure(reason, status, code, _delay_s(value) if pause is None else pause)


def _code(value: Any) -> str:
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return ""
    words = [error.get(name) for name in ("code", "type", "status")]
    words += [one.get("reason") for one in _details(value)]
    return " ".join(filter(None, (plain_word(str(word or "")) for word in words)))


def plain_word(word: str) -> str:
    """A provider's word for a failure; empty for what may be a message, which may repeat a key."""
    return word if _PLAIN_WORD.fullmatch(word) else ""


def _details(value: Any) -> list[dict[str, Any]]:
    # Google's errors carry a list of typed details
    error = value.get("error") if isinstance(value, dict) else None
    told = error.get("details") if isinstance(error, dict) else None
    return [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []


def _delay_s(value: Any) -> float | None:
    told = (str(one.get("retryDelay") or "") for one in _details(value))
    return retry_after_s(next((text.removesuffix("s") for text in told if text), None))
