"""One batch from its questions to what came of them, however often the network or we fail.

    upload -> its file is written down -> create -> its id is written down -> look, look, look
    -> fetch the files

A batch that a killed process left begins where its row in the journal says. Between the file and
the id the batch may or may not exist: then the provider's list is searched for our token or our
file before it is created, and likewise after a lost reply. Only a batch that the provider makes
and does not list until we have looked is created again, and paid twice.

What cannot be done now (no connection, a key that is refused, a rest too long, patience at its
end) leaves the batch as it is for the next run, and its reservations with it. What can never be
done (a batch that nobody knows, files that are gone) ends it: a call without an outcome then
counts as billed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from stillhouse.engines.batches import BatchStatus, BatchWire
from stillhouse.engines.gateway import TOO_LONG, GatewaySettings, deferred
from stillhouse.engines.http import Coming, Http
from stillhouse.engines.keys import Key, KeyRing
from stillhouse.engines.limits import Limiter
from stillhouse.engines.outcomes import Deferred, Failure, Reply, Then
from stillhouse.engines.patience import Patience
from stillhouse.store.batches import OpenBatch, note_file, note_id
from stillhouse.store.journal import Journal

R = TypeVar("R")
Missed = Failure | Deferred
"""A request that came to nothing: of the provider's making, or not to be made in this run."""

_GROWTH = 1.5  # assumption: a batch of an hour is looked at some seventy times
_PAGES = 20  # assumption: no account makes 2,000 batches between a crash and the next run
_LOST = Failure("missing_line")
_TORN = Failure("truncated_json")


@dataclass(frozen=True, slots=True)
class Followed:
    """What became of a batch in this run.

    Attributes:
        rest: of questions without an outcome; a `Deferred` leaves the batch to the next run.
        outcomes: of the others, by key.
        is_partly_refused: the batch was turned down for those with an outcome, not for the rest.
    """

    rest: Missed
    outcomes: Mapping[str, Reply | Failure] = field(default_factory=dict)
    is_partly_refused: bool = False


class BatchDesk:
    """One provider's batch endpoint, with our keys, its limits, and patience.

    Args:
        wire: the endpoint.
        journal: where each step is written down before the next.
        keys: of the user.
        limiter: of the provider; each request here takes a place, and no tokens, because tokens
            in batches have a limit of their own.
        settings: how to ask.
        pause: sleeps; another in tests.
    """

    def __init__(
        self,
        wire: BatchWire,
        journal: Journal,
        keys: KeyRing,
        limiter: Limiter,
        settings: GatewaySettings,
        pause: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._wire = wire
        self._journal = journal
        self._keys = keys
        self._limiter = limiter
        self._batch = settings.batch
        self._policy = settings.retry
        self._patience = Patience(limiter, settings.retry, settings.seed, pause)
        self._pause = pause
        self.http = Http(settings.concurrency, settings.timeout_s)

    async def follow(
        self, batch: OpenBatch, lines: Sequence[bytes], tell: Callable[[int], None]
    ) -> Followed:
        """What became of a batch.

        Args:
            batch: as the journal has it.
            lines: its questions; not looked at when they are at the provider.
            tell: hears how many of its questions are finished.

        Returns:
            The outcomes, and what holds for questions without one.
        """
        if not batch.file:
            sent = await self._upload(batch, lines)
            if isinstance(sent, Missed):
                return _without(sent)
            batch = sent
            status = await self._create(batch)
        elif not batch.remote:
            status = await self._find(batch) or await self._create(batch)
        else:
            status = _known(await self._ask(batch, self._looking(batch)))
        if isinstance(status, Missed):
            return _without(status)
        note = partial(note_id, number=batch.number, remote=status.remote)
        batch = await self._journal.write(note)
        over = await self._wait(batch, status, tell)
        return _without(over) if isinstance(over, Missed) else await self._take(batch, over)

    async def _upload(self, batch: OpenBatch, lines: Sequence[bytes]) -> OpenBatch | Missed:
        payers: list[str] = []

        def send(key: Key) -> Coming[str]:
            payers.append(key.alias)
            return self._wire.upload(self.http, key, lines)

        name = await self._ask(batch, send)
        if isinstance(name, Missed):
            return name
        note = partial(note_file, number=batch.number, file=name, key_alias=payers[-1])
        return await self._journal.write(note)

    async def _create(self, batch: OpenBatch) -> BatchStatus | Missed:
        failed = 0
        send = partial(self._wire.create, self.http, file=batch.file, token=batch.token)
        while True:
            found = await self._once(batch, send)
            if not isinstance(found, Failure):
                return found
            failed += found.kind.then is not Then.REST
            if not await self._patience.may_go_on(found, failed):
                return found
            # it may have been created all the same
            if found.kind.then is Then.RETRY and (there := await self._find(batch)) is not None:
                return there

    async def _find(self, batch: OpenBatch) -> BatchStatus | Missed | None:
        after = ""
        for _ in range(_PAGES):
            page = await self._ask(batch, partial(self._wire.page, self.http, after=after))
            if isinstance(page, Missed):
                return _LOST if _is_refused(page) else page
            for status in page.batches:
                if batch.token == status.token or batch.file == status.file:
                    return status
            after = page.after
            if not after:
                return None
        return None

    def _looking(self, batch: OpenBatch) -> Callable[..., Coming[BatchStatus]]:
        return partial(self._wire.look, self.http, remote=batch.remote)

    async def _wait(
        self, batch: OpenBatch, status: BatchStatus, tell: Callable[[int], None]
    ) -> BatchStatus | Missed:
        began = heard = time.monotonic()
        nap_s = self._batch.first_poll_s
        while not status.is_over:
            tell(status.finished)
            if time.monotonic() - began > self._batch.patience_s:
                return Deferred("waited_too_long", 0, "the next run finds the batch again")
            await self._pause(nap_s)
            nap_s = min(nap_s * _GROWTH, self._batch.longest_poll_s)
            found = _known(await self._once(batch, self._looking(batch)))
            now = time.monotonic()
            if isinstance(found, BatchStatus):
                status, heard = found, now
            elif isinstance(found, Deferred) or found.kind.then is Then.STOP:
                return found
            elif found.kind.then is Then.REST:
                self._limiter.rest(found.retry_after_s)
            elif now - heard > self._policy.patience_s:
                return found
        tell(status.finished)
        return status

    async def _take(self, batch: OpenBatch, status: BatchStatus) -> Followed:
        outcomes: dict[str, Reply | Failure] = {
            batch.lines[line]: failure
            for line, failure in status.refused.items()
            if line in batch.lines
        }
        if outcomes:
            return Followed(status.rest, outcomes, len(outcomes) < len(batch.lines))
        fetched = 0
        while True:
            is_whole = True
            for file in status.files:
                found = await self._ask(batch, partial(self._wire.fetch, self.http, file=file))
                if isinstance(found, Missed):
                    if not _is_refused(found):
                        return _without(found, outcomes)
                    continue  # gone for good
                is_whole = is_whole and found.is_whole
                # a question with an answer and an error has an answer
                outcomes = {**found.outcomes, **outcomes, **_answers(found.outcomes)}
            is_complete = len(_answers(outcomes)) >= status.answered
            if is_whole and (is_complete or len(outcomes) >= len(batch.lines)):
                return Followed(status.rest, outcomes)
            fetched += 1
            if not await self._patience.may_go_on(_TORN, fetched):
                return Followed(_LOST if is_whole else _TORN, outcomes)

    async def _ask(self, batch: OpenBatch, send: Callable[..., Coming[R]]) -> R | Missed:
        failed = 0
        while True:
            found = await self._once(batch, send)
            if not isinstance(found, Failure):
                return found
            failed += found.kind.then is not Then.REST
            if not await self._patience.may_go_on(found, failed):
                return found

    async def _once(self, batch: OpenBatch, send: Callable[..., Coming[R]]) -> R | Missed:
        key = self._keys.pick(batch.key_alias)
        if key is None:
            return Deferred("no_key", 0, "every key was refused")
        if await self._limiter.take(0, key.alias) is None:
            return TOO_LONG
        found = await send(key=key)
        if not isinstance(found, Failure):
            self._limiter.is_served()
            return found
        if found.kind.then is Then.NEXT_KEY:
            self._keys.rest(key)
        if _is_refused(found) and batch.file and key.alias != batch.key_alias:
            return Deferred("no_key", 0, "the key that sent the batch does not serve any more")
        return found


def _without(missed: Missed, outcomes: Mapping[str, Reply | Failure] | None = None) -> Followed:
    if isinstance(missed, Failure) and missed is not _LOST:
        if _is_refused(missed):
            missed = Failure("batch_refused", missed.status, missed.code)
        else:
            missed = deferred(missed, 0)
    return Followed(missed, outcomes or {})


def _known(found: BatchStatus | Missed) -> BatchStatus | Missed:
    return _LOST if _is_refused(found) else found


def _is_refused(found: object) -> bool:
    """The provider will say the same however often it is asked."""
    return isinstance(found, Failure) and found.reason in ("bad_request", "redirected")


def _answers(outcomes: Mapping[str, Reply | Failure]) -> dict[str, Reply | Failure]:
    return {
        key: one for key, one in outcomes.items() if isinstance(one, Reply) or one.status == 200
    }
