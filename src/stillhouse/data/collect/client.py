"""The one way in which providers are asked: by name, rarely, and only for what they allow.

No proxy is used, no address or name is changed to get past a refusal, no redirect to another host
is followed, and certificates are checked. There is no setting for any of it.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

import aiohttp

from stillhouse.core.retry_after import retry_after_s
from stillhouse.data.collect.answers import Ask, Hidden, Miss
from stillhouse.data.collect.robots import (
    ALLOWS_ALL,
    ALLOWS_NOTHING,
    MOST_BYTES,
    Robots,
    read_robots,
)
from stillhouse.store.replies import LONGEST_REST_S, Reply, ReplyStore
from stillhouse.store.turnstile import Turnstile

PRODUCT = "Stillhouse"
"""Our name in a robots.txt."""

_MOST_BODY = 8 << 20
"""assumption: a page of a hundred songs is some hundred kilobytes."""
_ROBOTS_AGE_S = 24 * 3600.0
"""paper: RFC 9309, section 2.4: a kept robots.txt is used for a day at most."""
_MOST_REDIRECTS = 3
_DROPPED = frozenset({301, 302, 303, 307, 308})
_REFUSALS = frozenset({403, 429})
_GONE = frozenset({404, 410})
_CHARSET = re.compile(
    r"utf-?8|utf-?16([bl]e)?|(us-)?ascii|latin-?1|iso-8859-\d{1,2}|windows-125\d|cp125\d|koi8-[ru]"
    r"|shift_jis|euc-(jp|kr)|gbk|gb2312|gb18030|big5"
)
"""Others are no encodings of text on the web, and some of Python's take their time."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How patient and how rare.

    Attributes:
        contact: told to every server.
        pause_s: from one reply of a host to the next request, where its source says nothing.
        patience_s: a rest that a host asks for is waited out up to here; a longer one ends its
            part of this run.
        streak: refusals (403, 429, block pages) in a row after which a host is left alone.
        rest_s: for so long then.
        tries: of a request that fails.
        retry_s: before the second of them; each further pause is twice as long.
        timeout_s: of one request.
    """

    contact: str
    pause_s: float = 1.0
    patience_s: float = 120.0
    streak: int = 3
    rest_s: float = 900.0
    tries: int = 3
    retry_s: float = 2.0
    timeout_s: float = 60.0

    @property
    def agent(self) -> str:
        """What stands in `User-Agent`."""
        return f"{PRODUCT}/1 (language-model data collection; contact: {self.contact})"


@dataclass(slots=True)
class _Host:
    turns: Turnstile
    refusals: int = 0
    robots: Robots | None = None
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came over the wire for one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class PoliteClient:
    """Asks hosts; use it inside one event loop.

    Args:
        manners: how.
        store: what was answered before.
        turns: folder of the hosts' turns.
        keys: source to its key.
        pauses: source to the pause between its requests.
    """

    def __init__(
        self,
        manners: Manners,
        store: ReplyStore,
        turns: Path,
        keys: Mapping[str, Hidden],
        pauses: Mapping[str, float],
    ) -> None:
        self.manners = manners
        self.num_sent: Counter[str] = Counter()
        self._store = store
        self._turns = turns
        self._keys = keys
        self._pauses = pauses
        self._hosts: dict[str, _Host] = {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit_per_host=1),
            timeout=aiohttp.ClientTimeout(total=manners.timeout_s),
            headers={"User-Agent": manners.agent, "Accept": "application/json"},
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_send_once,),
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

    async def get(self, source: str, ask: Ask) -> Reply | Miss:
        """The reply to a request: the kept one, else a new one, which is kept.

        Args:
            source: the recipe's name of who asks.
            ask: the request.

        Returns:
            The reply, with status 200 or 404; or why there is none, which a later run asks again.
        """
        kept = self._store.get(ask.key)
        if kept is not None:
            return kept
        place = urlsplit(ask.url).netloc
        host = self._hosts.get(place)
        if host is None:
            host = self._hosts[place] = _Host(Turnstile(self._turns, place))
        async with host.asking:
            # Another source may have asked the same meanwhile.
            return self._store.get(ask.key) or await self._ask(source, ask, place, host)

    async def _ask(self, source: str, ask: Ask, place: str, host: _Host) -> Reply | Miss:
        for number in range(self.manners.tries):
            if number:
                await asyncio.sleep(self.manners.retry_s * 2.0 ** (number - 1))
            found = await self._try(source, ask, place, host)
            if not isinstance(found, Miss) or found.outcome != "error":
                break
        if isinstance(found, Reply):
            self._store.keep(ask.key, source, found)
        return found

    async def _try(self, source: str, ask: Ask, place: str, host: _Host) -> Reply | Miss:
        url = ask.url
        for _ in range(_MOST_REDIRECTS + 1):
            missing = await self._wait(place) or await self._is_allowed(source, url, place, host)
            if missing:
                return missing
            answer = await self._send(source, ask, url, host)
            if isinstance(answer, Miss):
                return answer
            if answer.status not in _DROPPED:
                return self._judge(answer, ask.url, place, host)
            target = urljoin(url, answer.headers.get("Location", ""))
            if _site(target) != _site(url):
                return Miss("blocked", "redirected")
            url = target
        return Miss("error", "redirected")

    async def _wait(self, place: str) -> Miss | None:
        """Wait out a rest of the host; a long one is not waited for."""
        while (rest := self._store.resting(place)).seconds > 0:
            if rest.seconds > self.manners.patience_s:
                return Miss("blocked", rest.why, rest.seconds)
            await asyncio.sleep(rest.seconds)
        return None

    async def _is_allowed(self, source: str, url: str, place: str, host: _Host) -> Miss | None:
        if host.robots is None:
            host.robots = await self._find_robots(source, url, place, host)
        parts = urlsplit(url)
        path = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        return None if host.robots.allows(path) else Miss("blocked", "robots")

    async def _find_robots(self, source: str, url: str, place: str, host: _Host) -> Robots:
        parts = urlsplit(url)
        at = urlunsplit((parts.scheme, parts.netloc, "/robots.txt", "", ""))
        kept = self._store.get(f"robots {at}")
        if kept is None or _age_s(kept.at) > _ROBOTS_AGE_S:
            fetched = await self._fetch_robots(source, at, place, host)
            if fetched is None:
                # 5xx, or nobody there: nothing is allowed, and it is looked at again next time.
                return ALLOWS_NOTHING
            kept = fetched
            self._store.keep(f"robots {at}", "robots.txt", kept)
        return read_robots(kept.body, PRODUCT) if kept.status == 200 else ALLOWS_ALL

    async def _fetch_robots(self, source: str, at: str, place: str, host: _Host) -> Reply | None:
        url = at
        for _ in range(_MOST_REDIRECTS + 1):
            answer = await self._send(source, Ask(url), url, host, MOST_BYTES)
            if isinstance(answer, Miss):
                return None
            if answer.status in _DROPPED:
                url = urljoin(url, answer.headers.get("Location", ""))
                if _site(url) != _site(at):
                    return Reply(404, b"", at, _now())
                continue
            if answer.status >= 500 or answer.status == 429:
                self._heed(answer, place)
                return None
            return Reply(200 if answer.status == 200 else 404, answer.body, at, _now())
        return Reply(404, b"", at, _now())

    async def _send(
        self, source: str, ask: Ask, url: str, host: _Host, most: int = 0
    ) -> _Answer | Miss:
        pause_s = max(self._pauses.get(source, 0.0), self.manners.pause_s)
        pause_s = max(pause_s, host.robots.delay_s if host.robots else 0.0)
        async with host.turns.turn(pause_s):
            self.num_sent[source] += 1
            try:
                return await self._exchange(source, ask, url, most)
            except TimeoutError:
                return Miss("error", "timeout")
            except (aiohttp.ClientError, ConnectionError, ValueError) as error:
                is_tls = isinstance(error, aiohttp.ClientSSLError)
                return Miss("error", "tls" if is_tls else "no_connection")

    async def _exchange(self, source: str, ask: Ask, url: str, most: int) -> _Answer | Miss:
        headers, parameters = _with_key(ask, self._keys.get(source))
        if parameters:
            url += ("&" if urlsplit(url).query else "?") + parameters
        async with self._session.get(url, headers=headers, allow_redirects=False) as response:
            body = bytearray()
            async for part in response.content.iter_chunked(1 << 16):
                body += part
                if len(body) > (most or _MOST_BODY):
                    if most:
                        break
                    return Miss("error", "too_large")
            return _Answer(response.status, response.headers, bytes(body))

    def _judge(self, answer: _Answer, url: str, place: str, host: _Host) -> Reply | Miss:
        """What an answer is worth, and what it means for the requests after it."""
        is_page = answer.status == 200 and answer.body.lstrip()[:1] == b"<"
        if answer.status in _REFUSALS or is_page:
            return self._refused(answer, place, host, is_page)
        host.refusals = 0
        if answer.status == 401:
            return Miss("blocked", "key_refused")
        if answer.status == 503 and (asked_s := self._heed(answer, place)):
            return Miss("blocked" if asked_s > self.manners.patience_s else "error", "busy")
        if answer.status == 200 and not answer.body.strip():
            return Miss("error", "empty_body")
        if answer.status == 200 and not _is_text(answer):
            return Miss("error", "wrong_encoding")
        if answer.status == 200 or answer.status in _GONE:
            status = 200 if answer.status == 200 else 404
            return Reply(status, _as_utf8(answer), url, _now())
        return Miss("error", "server_error" if answer.status >= 500 else "bad_request")

    def _refused(self, answer: _Answer, place: str, host: _Host, is_page: bool) -> Miss:
        host.refusals += 1
        reason = "block_page" if is_page else ("forbidden" if answer.status == 403 else "too_many")
        asked_s = self._heed(answer, place)
        if host.refusals >= self.manners.streak:
            self._store.rest(place, max(self.manners.rest_s, asked_s), reason)
            return Miss("blocked", reason, self._store.resting(place).seconds)
        if answer.status == 429:
            # Its rest is waited out, unless it is long, and the request made again.
            pause_s = self.manners.retry_s * 2.0**host.refusals
            if not asked_s:
                self._store.rest(place, pause_s, reason)
            return Miss("error", reason)
        return Miss("blocked", reason)

    def _heed(self, answer: _Answer, place: str) -> float:
        """Let the host rest for as long as it asks; the seconds, 0 when it does not."""
        asked_s = retry_after_s(answer.headers.get("Retry-After")) or 0.0
        if asked_s:
            self._store.rest(place, asked_s, "asked_to_wait")
        return min(asked_s, LONGEST_REST_S)


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request; one whose connection was dropped is not sent again without a pause."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        # The library repeats what ends with one of these two at once, and nothing else.
        raise aiohttp.ClientConnectionError(str(error)) from None


def _with_key(ask: Ask, key: Hidden | None) -> tuple[dict[str, str], str]:
    """Headers and parameters that carry the key."""
    if key is None:
        return {}, ""
    headers = {}
    if ask.header:
        name, _, form = ask.header.partition(":")
        headers[name.strip()] = (form.strip() or "{key}").replace("{key}", key.reveal())
    parameters = ""
    if ask.parameter:
        parameters = f"{ask.parameter}={quote(key.reveal(), safe='')}"
    return headers, parameters


def _site(url: str) -> tuple[str, str]:
    """Scheme and host with port, which a redirect may not change."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.netloc.lower()
    except ValueError:
        return "", ""


def _charset(answer: _Answer) -> str:
    told = answer.headers.get("Content-Type", "").lower().partition("charset=")[2]
    return told.partition(";")[0].strip(" \"'") or "utf-8"


def _is_text(answer: _Answer) -> bool:
    if not _CHARSET.fullmatch(_charset(answer)):
        return False
    try:
        answer.body.decode(_charset(answer))
    except (UnicodeError, LookupError):
        return False
    return True


def _as_utf8(answer: _Answer) -> bytes:
    """The body in UTF-8, whatever the server wrote it in."""
    if answer.status != 200 or _charset(answer) in ("utf-8", "utf8"):
        return answer.body
    return answer.body.decode(_charset(answer)).encode("utf-8", "replace")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _age_s(at: str) -> float:
    return abs((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds())
