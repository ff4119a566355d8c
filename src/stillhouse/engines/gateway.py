"""Every remote question goes through here: look up, reserve, ask, settle and keep.

    kept already?  -> that answer, for nothing
    key            -> one that does not rest
    reserve        -> the upper price, durable before anything is sent
    place          -> under the provider's limits, over all processes
    ask            -> one POST
    settle + keep  -> one transaction: price and answer, durable before anyone sees the answer

A killed process loses the questions that were under way: asked, and their answers not yet
durable. There are never more of them than `most_under_way` says, and only they are paid twice.

Without limits a few more questions than `concurrency` are in hand, so that one can be reserved or
written down while another is on the wire; on the wire there are at most `concurrency`. Under
limits there are none to spare, because a place must be used as soon as it is taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from sqlite3 import Connection
from types import TracebackType
from typing import Any, Protocol, Self

from stillhouse.engines.batch_settings import BatchSettings
from stillhouse.engines.http import Http, read_reply
from stillhouse.engines.keys import Key, KeyRing
from stillhouse.engines.limits import Limiter
from stillhouse.engines.outcomes import Answer, Deferred, Failure, Reply, Then
from stillhouse.engines.patience import Patience
from stillhouse.engines.prices import Price
from stillhouse.engines.retry import RetryPolicy
from stillhouse.store.call_cache import KeptAnswer, find_answer, keep_answer
from stillhouse.store.ledger import (
    Balance,
    Bill,
    Refused,
    Request,
    Session,
    State,
    Usage,
    mark_accepted,
)
from stillhouse.store.slots import Limit, Place, SlotTable

_POLL_S = 1.0  # assumption: other processes' reservations are settled no faster


class Wire(Protocol):
    """What the gateway must know of a provider's format; each engine has one."""

    provider: str
    model: str
    url: str
    price: Price

    def headers(self, key: Key) -> Mapping[str, str]:
        """Of a request, the key among them."""

    def usage(self, value: Mapping[str, Any]) -> Usage | None:
        """What a reply says it used; None when it does not say."""

    def has_answer(self, value: Mapping[str, Any]) -> bool:
        """The reply has the shape of an answer, whatever it says."""


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask.

    Attributes:
        example_id: who asks.
        sample_index: which of several answers.
        key: digest of everything that shapes the answer.
        body: JSON.
        upper: the most tokens that it can use.
    """

    example_id: str
    sample_index: int
    key: str
    body: bytes
    upper: Usage


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """How to ask.

    Attributes:
        concurrency: requests on the wire at a time.
        timeout_s: for one request.
        limits: of the provider, and of each of its keys; all of them hold.
        retry: when to ask again.
        seed: of the pauses.
        batch: how questions are asked that may wait; see `engines/batch_gate.py`.
    """

    concurrency: int = 16
    timeout_s: float = 300.0
    limits: Sequence[Limit] = ()
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    seed: int = 0
    batch: BatchSettings = field(default_factory=BatchSettings)


class Gateway:
    """Asks one provider; `async with` it, inside one event loop.

    Args:
        wire: the provider's format.
        session: the budget and the journal.
        slots: the shared table of limits.
        keys: of the user.
        settings: how to ask.
        pause: sleeps; another in tests.
    """

    def __init__(
        self,
        wire: Wire,
        session: Session,
        slots: SlotTable,
        keys: KeyRing,
        settings: GatewaySettings,
        pause: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._wire = wire
        self._session = session
        self._keys = keys
        self._limiter = Limiter(wire.provider, settings.limits, slots, settings.retry)
        self._patience = Patience(self._limiter, settings.retry, settings.seed, pause)
        self._permits = asyncio.Semaphore(settings.concurrency)
        self._settled = asyncio.Event()
        self._under_way: dict[str, asyncio.Event] = {}
        self._http = Http(settings.concurrency, settings.timeout_s)
        self.balance: Balance | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def ask(self, question: Question) -> Answer | Deferred:
        """The answer to one question, kept before it is given back, or why there is none.

        Of equal questions at once one is sent; the others get its answer.

        Args:
            question: what is asked.

        Returns:
            Never an exception of the provider's or the network's making.
        """
        while (other := self._under_way.get(question.key)) is not None:
            await other.wait()
        ended = self._under_way[question.key] = asyncio.Event()
        try:
            return await self._ask(question)
        finally:
            del self._under_way[question.key]
            ended.set()

    async def _ask(self, question: Question) -> Answer | Deferred:
        kept = kept_answer(self._session, question)
        if kept is not None:
            return kept
        failed = 0
        while True:
            outcome = await self._try(question)
            if isinstance(outcome, Answer):
                return outcome
            if isinstance(outcome, Deferred):
                return Deferred(outcome.reason, failed, outcome.detail)
            failed += outcome.kind.then is not Then.REST
            if not await self._patience.may_go_on(outcome, failed):
                is_told_to_wait = outcome.kind.then is Then.REST
                if is_told_to_wait and self._limiter.is_given_up():
                    return TOO_LONG
                return deferred(outcome, failed)

    def accept(self, answer: Answer, is_accepted: bool) -> None:
        """Note for the account whether an answer became part of the data."""
        self._session.journal.post(
            partial(mark_accepted, call=answer.call, is_accepted=is_accepted)
        )

    async def _try(self, question: Question) -> Answer | Failure | Deferred:
        key = self._keys.pick()
        if key is None:
            return Deferred("no_key", 0, "every key was refused")
        async with self._limiter.path:
            started = await self._start(question, key)
        if isinstance(started, Deferred):
            return started
        place, call = started
        try:
            async with self._permits:
                found = await self._http.post(
                    self._wire.url, self._wire.headers(key), question.body
                )
        except BaseException:
            # cancelled, or an error of ours: nobody knows what the provider did
            self._give_up(call, "unknown")
            raise
        if isinstance(found, Reply) and not self._wire.has_answer(found.value):
            found = Failure("wrong_shape", 200)
        return await self._end(question, key, place, call, found)

    async def _start(self, question: Question, key: Key) -> tuple[Place, int] | Deferred:
        tokens = question.upper.tokens
        if not await self._limiter.is_free(tokens, key.alias):
            return TOO_LONG
        call = await self._reserve(question, key)
        if call is None:
            return Deferred("budget", 0, "the budget leaves no room for its upper price")
        try:
            place = await self._limiter.take(tokens, key.alias)
        except BaseException:
            self._give_up(call, "free")
            raise
        if place is None:
            self._give_up(call, "free")
            return TOO_LONG
        return place, call

    def _give_up(self, call: int, state: State) -> None:
        bill = Bill(state, "given_up")
        self._session.journal.post(partial(self._session.settle, call=call, bill=bill))

    async def _reserve(self, question: Question, key: Key) -> int | None:
        request = request_for(self._wire, question)
        while True:
            settled = self._settled
            held = await self._session.journal.write(
                partial(self._session.reserve, request=request, key_alias=key.alias)
            )
            if not isinstance(held, Refused):
                return held
            if not held.while_held:
                return None
            try:
                await asyncio.wait_for(settled.wait(), _POLL_S)
            except TimeoutError:
                # whoever holds the rest may have been killed
                await self._session.journal.write(self._session.settle_the_dead)

    async def _end(
        self, question: Question, key: Key, place: Place, call: int, found: Reply | Failure
    ) -> Answer | Failure:
        upper = self._wire.price.cost(question.upper)
        outcome = Outcome.of(self._wire, question.key, call, upper, found)
        self.balance = await self._session.journal.write(partial(outcome.write, self._session))
        self._settled.set()
        self._settled = asyncio.Event()
        if isinstance(found, Failure):
            if found.kind.then is Then.NEXT_KEY:
                self._keys.rest(key)
            if not found.kind.may_be_billed:
                self._limiter.give_back(place, question.upper.tokens, key.alias)
            return found
        self._limiter.is_served()
        usage = outcome.bill.usage
        if usage is not None:
            self._limiter.give_back(place, question.upper.tokens - usage.tokens, key.alias)
        return outcome.answer(found)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call ended with: its bill, and its answer where there is one.

    Attributes:
        key: of the question.
        call: its number in the ledger.
        bill: how it ended.
        kept: the answer; None for a failure.
    """

    key: str
    call: int
    bill: Bill
    kept: KeptAnswer | None = None

    @classmethod
    def of(cls, wire: Wire, key: str, call: int, upper: int, found: Reply | Failure) -> Outcome:
        """The outcome of what came back.

        Args:
            wire: the provider's format, with the price that is paid.
            key: of the question.
            call: its number in the ledger.
            upper: the most that it can cost, nano-dollars.
            found: what came back.

        Returns:
            The outcome, not written down yet.
        """
        if isinstance(found, Failure):
            state: State = "unknown" if found.kind.may_be_billed else "free"
            return cls(key, call, Bill(state, found.reason))
        usage = wire.usage(found.value)
        cost = upper if usage is None else wire.price.cost(usage)
        bill = Bill("assumed", "no_usage") if usage is None else Bill("paid", "", usage, cost)
        return cls(key, call, bill, KeptAnswer(call, found.body, usage or Usage(0, 0), cost))

    def write(self, session: Session, c: Connection) -> Balance:
        """Settle the price and keep the answer, in one transaction; a write of the journal."""
        if self.kept is not None:
            keep_answer(c, self.key, self.kept)
        return session.settle(c, self.call, self.bill)

    def answer(self, reply: Reply) -> Answer:
        """The answer that was kept, with what the reply says."""
        assert self.kept is not None
        return Answer(reply.value, self.kept.usage, self.kept.nano_usd, self.call, was_kept=False)


def kept_answer(session: Session, question: Question) -> Answer | None:
    """The answer that was paid for before; None when there is none that can be read."""
    kept = session.journal.read(partial(find_answer, key=question.key))
    reply = None if kept is None else read_reply(kept.body)
    if kept is None or not isinstance(reply, Reply):
        return None
    return Answer(reply.value, kept.usage, kept.nano_usd, kept.call, was_kept=True)


def request_for(wire: Wire, question: Question) -> Request:
    """What is reserved for a question."""
    return Request(
        key=question.key,
        example_id=question.example_id,
        sample_index=question.sample_index,
        provider=wire.provider,
        model=wire.model,
        upper_nano_usd=wire.price.cost(question.upper),
        upper_tokens=question.upper.tokens,
    )


TOO_LONG = Deferred("waited_too_long", 0, "the provider only asks to wait")


def most_under_way(settings: GatewaySettings) -> int:
    """Questions in hand at a time, each of which a crash may make paid twice."""
    return settings.concurrency + (0 if settings.limits else settings.concurrency // 2)


def deferred(failure: Failure, tries: int) -> Deferred:
    """A failure that is not tried again in this run."""
    status = f"status {failure.status}" if failure.status else ""
    return Deferred(failure.reason, tries, " ".join(filter(None, (status, failure.code))))
