"""The one way in which providers are asked: by name, rarely, and only for what they allow.

No proxy is used, no address or name is changed to get past a refusal, no redirect to another host
is followed, and certificates are checked. There is no setting for any of it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit, urlunsplit

import aiohttp

from stillhouse.core.retry_after import retry_after_s
from stillhouse.data.collect.answers import Ask, Hidden, Miss
from stillhouse.data.collect.bodies import Answer, as_utf8, is_text, site_of, target_of
from stillhouse.data.collect.robots import (
    ALLOWS_ALL,
    ALLOWS_NOTHING,
    MOST_BYTES,
    Robots,
    read_robots,
)
from stillhouse.store.replies import LONGEST_REST_S, Reply, ReplyStore, place_of
from stillhouse.store.turnstile import Turnstile

PRODUCT = "Stillhouse"
"""Our name in a robots.txt."""

_MOST_BODY = 8 << 20
"""assumption: a page of a hundred songs is some hundred kilobytes."""
_ROBOTS_AGE_S = 24 * 3600.0
"""paper: RFC 9309, section 2.4: a kept robots.txt is used for a day at most."""
_MOST_REDIRECTS = 3
_ROBOTS_REDIRECTS = 5
"""paper: RFC 9309, section 2.3.1.2: so many are followed, to other hosts too."""
_DROPPED = frozenset({301, 302, 303, 307, 308})
_REFUSALS = frozenset({403, 429})
_GONE = frozenset({404, 410})
_FAILURES = frozenset({"server_error", "timeout"})
"""A host that comes to nothing else has enough to do."""

IsAnswer = Callable[[Reply], bool]
"""Whether a reply says what was asked; one that says no inside of its body is not kept."""


def _always(_: Reply) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Manners:
    """How patient and how rare.

    Attributes:
        contact: told to every server.
        pause_s: from one reply of a host to the next request, where its source says nothing.
        patience_s: a rest that a host asks for is waited out up to here; a longer one ends its
            part of this run.
        streak: refusals (403, 429, block pages) in a row after which a host is left alone; requests
            in a row that failed after which this run asks it no more.
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
    place: str
    turns: Turnstile
    refusals: int = 0
    failures: int = 0
    robots: Robots | None = None
    robots_at: str = ""
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A request, who makes it, and what answers it."""

    source: str
    ask: Ask
    is_answer: IsAnswer = _always


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

    async def get(self, source: str, ask: Ask, is_answer: IsAnswer = _always) -> Reply | Miss:
        """The reply to a request: the kept one, else a new one, which is kept where it answers.

        Args:
            source: the recipe's name of who asks.
            ask: the request.
            is_answer: whether a reply says what was asked.

        Returns:
            The reply, with status 200 or 404; or why there is none, which a later run asks again.
        """
        wanted = _Wanted(source, ask, is_answer)
        if kept := self._kept(wanted):
            return kept
        host = self._host(ask.url)
        async with host.asking:
            # Another source may have asked the same meanwhile.
            return self._kept(wanted) or await self._ask(wanted, host)

    def _kept(self, wanted: _Wanted) -> Reply | None:
        kept = self._store.get(wanted.ask.key)
        return kept if kept and wanted.is_answer(kept) else None

    def _host(self, url: str) -> _Host:
        place = place_of(url)
        host = self._hosts.get(place)
        if host is None:
            host = self._hosts[place] = _Host(place, Turnstile(self._turns, place))
        return host

    async def _ask(self, wanted: _Wanted, host: _Host) -> Reply | Miss:
        found = await self._tried(lambda: self._try(wanted, host))
        if isinstance(found, Reply):
            host.failures = 0
            if wanted.is_answer(found):
                self._store.keep(wanted.ask.key, wanted.source, found)
        elif found.reason in _FAILURES:
            host.failures += 1
            if host.failures >= self.manners.streak:
                return Miss("error", found.reason, self.manners.rest_s)
        return found

    async def _tried(self, once: Callable[[], Awaitable[Reply | Miss]]) -> Reply | Miss:
        """What a request came to, made again a few times where it failed."""
        for number in range(self.manners.tries):
            if number:
                await asyncio.sleep(self.manners.retry_s * 2.0 ** (number - 1))
            found = await once()
            if not isinstance(found, Miss) or found.outcome != "error":
                break
        return found

    async def _try(self, wanted: _Wanted, host: _Host) -> Reply | Miss:
        url = wanted.ask.url
        for _ in range(_MOST_REDIRECTS + 1):
            if missing := await self._is_allowed(wanted.source, url, host):
                return missing
            answer = await self._send(wanted, url, host)
            if not isinstance(answer, Answer):
                return answer
            if answer.status not in _DROPPED:
                return self._judge(answer, wanted.ask.url, host)
            target = target_of(url, answer)
            if site_of(target) != site_of(url):
                return Miss("blocked", "redirected")
            url = target
        return Miss("error", "redirected")

    async def _wait(self, host: _Host) -> Miss | None:
        """Wait out a rest of the host; a long one is not waited for."""
        while (rest := self._store.resting(host.place)).seconds > 0:
            if rest.seconds > self.manners.patience_s:
                return Miss("blocked", rest.why, rest.seconds)
            await asyncio.sleep(rest.seconds)
        return None

    async def _is_allowed(self, source: str, url: str, host: _Host) -> Miss | None:
        if host.robots is None or _age_s(host.robots_at) > _ROBOTS_AGE_S:
            found = await self._find_robots(source, url, host)
            if isinstance(found, Miss):
                return found
            host.robots = found
        parts = urlsplit(url)
        path = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        return None if host.robots.allows(path) else Miss("blocked", "robots")

    async def _find_robots(self, source: str, url: str, host: _Host) -> Robots | Miss:
        parts = urlsplit(url)
        at = urlunsplit((parts.scheme, parts.netloc, "/robots.txt", "", ""))
        kept = self._store.get(f"robots {at}")
        if kept is None or _age_s(kept.at) > _ROBOTS_AGE_S:
            fetched = await self._tried(lambda: self._fetch_robots(source, at))
            if isinstance(fetched, Miss) and fetched.rest_s:
                return fetched
            if isinstance(fetched, Miss):
                # 5xx, or nobody there: nothing is allowed, and it is looked at again next time.
                host.robots_at = _now()
                return ALLOWS_NOTHING
            kept = fetched
            self._store.keep(f"robots {at}", "robots.txt", kept)
        host.robots_at = kept.at
        return read_robots(kept.body, PRODUCT) if kept.status == 200 else ALLOWS_ALL

    async def _fetch_robots(self, source: str, at: str) -> Reply | Miss:
        url = at
        for _ in range(_ROBOTS_REDIRECTS + 1):
            answer = await self._send(_Wanted(source, Ask(url)), url, self._host(url), MOST_BYTES)
            if not isinstance(answer, Answer):
                return answer
            if answer.status in _DROPPED:
                url = target_of(url, answer)
                if site_of(url)[0] not in ("http", "https"):
                    break
                continue
            if answer.status >= 500 or answer.status == 429:
                return Miss("error", "server_error")
            return Reply(200 if answer.status == 200 else 404, answer.body, at, _now())
        return Reply(404, b"", at, _now())

    async def _send(
        self, wanted: _Wanted, url: str, host: _Host, most: int = 0
    ) -> Answer | Reply | Miss:
        """What came back; or the reply that another process got while this one waited its turn."""
        pause_s = max(self._pauses.get(wanted.source, 0.0), self.manners.pause_s)
        pause_s = max(pause_s, host.robots.delay_s if host.robots else 0.0)
        while True:
            if missing := await self._wait(host):
                return missing
            async with host.turns.turn(pause_s):
                # Whoever had the turn before may have been told to wait, or have asked the same.
                if self._store.resting(host.place).seconds > 0:
                    continue
                return self._kept(wanted) or await self._sent(wanted, url, host, most)

    async def _sent(self, wanted: _Wanted, url: str, host: _Host, most: int) -> Answer | Miss:
        self.num_sent[wanted.source] += 1
        try:
            answer = await self._exchange(wanted, url, most)
        except TimeoutError:
            return Miss("error", "timeout")
        except (aiohttp.ClientError, ConnectionError, ValueError) as error:
            is_tls = isinstance(error, aiohttp.ClientSSLError)
            return Miss("error", "tls" if is_tls else "no_connection")
        asked_s = 0.0 if isinstance(answer, Miss) else _asked_s(answer)
        if asked_s:
            # Inside of the turn, so that whoever has it next knows.
            self._store.rest(host.place, asked_s, "asked_to_wait")
        return answer

    async def _exchange(self, wanted: _Wanted, url: str, most: int) -> Answer | Miss:
        headers, parameters = _with_key(wanted.ask, self._keys.get(wanted.source))
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
            return Answer(response.status, response.headers, bytes(body))

    def _judge(self, answer: Answer, url: str, host: _Host) -> Reply | Miss:
        """What an answer is worth, and what it means for the requests after it."""
        if answer.status in _REFUSALS or answer.is_page:
            return self._refused(answer, host)
        if answer.status < 500:
            host.refusals = 0
        if answer.status == 401:
            return Miss("blocked", "key_refused")
        if answer.status == 503 and (asked_s := _asked_s(answer)):
            return Miss("blocked" if asked_s > self.manners.patience_s else "error", "busy")
        if answer.status == 200 and not answer.body.strip():
            return Miss("error", "empty_body")
        if answer.status == 200 and not is_text(answer):
            return Miss("error", "wrong_encoding")
        if answer.status == 200 or answer.status in _GONE:
            status = 200 if answer.status == 200 else 404
            return Reply(status, as_utf8(answer), url, _now())
        return Miss("error", "server_error" if answer.status >= 500 else "bad_request")

    def _refused(self, answer: Answer, host: _Host) -> Miss:
        host.refusals += 1
        reason = {403: "forbidden", 429: "too_many"}.get(answer.status, "block_page")
        asked_s = _asked_s(answer)
        if host.refusals >= self.manners.streak:
            self._store.rest(host.place, max(self.manners.rest_s, asked_s), reason)
            return Miss("blocked", reason, self._store.resting(host.place).seconds)
        if answer.status == 429:
            # Its rest is waited out, unless it is long, and the request made again.
            pause_s = self.manners.retry_s * 2.0**host.refusals
            if not asked_s:
                self._store.rest(host.place, pause_s, reason)
            return Miss("error", reason)
        return Miss("blocked", reason)


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


def _asked_s(answer: Answer) -> float:
    """How long the host asks to be left alone; 0 when it does not, or has answered."""
    if answer.status < 500 and answer.status not in _REFUSALS:
        return 0.0
    return min(retry_after_s(answer.headers.get("Retry-After")) or 0.0, LONGEST_REST_S)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _age_s(at: str) -> float:
    return abs((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds())
