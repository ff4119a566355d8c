"""A gate that asks in batches: for half of the price, within a day.

    ask         as of the gateway, one question at a time; each waits for its answer
    quiet       nobody has asked for a moment: what was asked becomes a batch
    take over   what a killed run's batch holds is not asked again, but waited for there
    reserve     every question's upper price and the batch itself, in one transaction
    follow      see `engines/batch_desk.py`
    settle      each answer in one transaction with its price, under the key of a single question
    answer      all of a batch at once, so that whoever asks something more makes one batch of it

Whoever asks does not notice: answers of single questions serve batches and the other way round, a
question that is sent back to be mended goes into the next batch. Two questions with one key are
asked once.

A batch is paid twice only where `engines/batch_desk.py` says so; unlike with single questions, a
killed process loses none. Its money stays reserved until a run in batches takes it over: one that
asks the same, or spends the same budget. Two processes that run at once and ask the same both pay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from sqlite3 import Connection
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from stillhouse.engines.batch_desk import BatchDesk, Followed
from stillhouse.engines.batches import BatchWire
from stillhouse.engines.gateway import (
    GatewaySettings,
    Outcome,
    Question,
    deferred,
    kept_answer,
    request_for,
)
from stillhouse.engines.keys import Key, KeyRing
from stillhouse.engines.limits import Limiter
from stillhouse.engines.outcomes import Answer, Deferred, Failure, Reply
from stillhouse.store.batches import OpenBatch, begin_batch, end_batch, take_over
from stillhouse.store.ledger import (
    Balance,
    Bill,
    Refused,
    Session,
    State,
    balance_of,
    mark_accepted,
)
from stillhouse.store.slots import SlotTable

_NO_ROOM = Deferred("budget", 0, "the budget leaves no room for its upper price")
_FINAL = ("bad_request",)
"""A question that was refused for itself is not asked again."""


class BatchGate:
    """Asks one provider in batches; `async with` it, inside one event loop.

    Args:
        batches: the provider's batch endpoint.
        session: the budget and the journal.
        slots: the shared table of limits.
        keys: of the user.
        settings: how to ask.
        pause: sleeps; another in tests.
    """

    def __init__(
        self,
        batches: BatchWire,
        session: Session,
        slots: SlotTable,
        keys: KeyRing,
        settings: GatewaySettings,
        pause: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._wire = wire = batches.chat
        self._batches = batches
        self._session = session
        self._keys = keys
        self._settings = settings
        limiter = Limiter(wire.provider, settings.limits, slots, settings.retry)
        self._desk = BatchDesk(batches, session.journal, keys, limiter, settings, pause)
        self._place = f"{wire.provider} {wire.model} {wire.url}"
        self._waiting: dict[str, asyncio.Future[Answer | Deferred]] = {}
        self._pending: dict[str, Question] = {}
        self._asked = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        # by the number of each batch that was sent or taken over
        self._finished: dict[int, tuple[int, int]] = {}
        # by the key of each question in them, the questions of its batch that somebody asked
        self._out: dict[str, dict[str, Question]] = {}
        self._refusals = 0
        self._error: BaseException | None = None
        self.balance: Balance | None = None

    async def __aenter__(self) -> Self:
        self._spawn(self._send_when_quiet())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._desk.http.__aexit__(kind, error, trace)

    @property
    def finished(self) -> tuple[int, int]:
        """Questions that the provider has finished, and those that are there, of all batches."""
        pairs = list(self._finished.values())
        return sum(done for done, _ in pairs), sum(total for _, total in pairs)

    async def ask(self, question: Question) -> Answer | Deferred:
        """The answer to one question, when its batch is over; see `Gateway.ask`."""
        kept = kept_answer(self._session, question)
        if kept is not None:
            return kept
        if self._error is not None:
            raise self._error
        if question.key not in self._waiting:
            self._waiting[question.key] = asyncio.get_running_loop().create_future()
            self._put(question)
        return await asyncio.shield(self._waiting[question.key])

    def accept(self, answer: Answer, is_accepted: bool) -> None:
        """Note for the account whether an answer became part of the data."""
        self._session.journal.post(
            partial(mark_accepted, call=answer.call, is_accepted=is_accepted)
        )

    def _put(self, question: Question) -> None:
        self._pending[question.key] = question
        self._asked.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # ours, not the provider's: whoever waits hears of it
            self._error = error
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(error)

    async def _send_when_quiet(self) -> None:
        while True:
            await self._asked.wait()
            seen = -1
            while seen != len(self._pending):
                seen = len(self._pending)
                await asyncio.sleep(self._settings.batch.quiet_s)
            self._asked.clear()
            questions, self._pending = self._pending, {}
            await self._send(questions)

    async def _send(self, questions: Mapping[str, Question]) -> None:
        left = dict(questions)
        for key in self._out.keys() & left.keys():
            self._out[key][key] = left.pop(key)
        journal, followed = self._session.journal, frozenset(self._finished)
        for batch in await journal.write(
            partial(
                take_over,
                session=self._session,
                place=self._place,
                keys=left.keys(),
                followed=followed,
            )
        ):
            ours = {key: left.pop(key) for key in batch.calls if key in left}
            self._start(batch, ours, is_new=False)
        payer = self._keys.pick()
        if payer is None:
            self._answer_all(left, Deferred("no_key", 0, "every key was refused"))
            return
        for part in self._parts(left.values()):
            made, refused = await journal.write(partial(self._reserve, part=part, key=payer))
            self.balance = journal.read(partial(balance_of, name=self._session.budget.name))
            self._answer_all([one.key for one in refused], _NO_ROOM)
            if made is not None:
                self._start(made, {key: left[key] for key in made.lines.values()}, is_new=True)

    def _parts(self, questions: Collection[Question]) -> Iterator[list[Question]]:
        settings, part, size = self._settings.batch, list[Question](), 0
        for question in questions:
            more = len(self._batches.line(question))
            if part and (len(part) == settings.most_questions or size + more > settings.most_bytes):
                yield part
                part, size = [], 0
            part.append(question)
            size += more
        if part:
            yield part

    def _reserve(
        self, c: Connection, part: Sequence[Question], key: Key
    ) -> tuple[OpenBatch | None, list[Question]]:
        calls, refused = list[int](), list[Question]()
        for question in part:
            held = self._session.reserve(c, request_for(self._wire, question), key.alias)
            if isinstance(held, Refused):
                refused.append(question)
            else:
                calls.append(held)
        if not calls:
            return None, refused
        return begin_batch(c, self._session, self._place, uuid4().hex, calls), refused

    def _start(self, batch: OpenBatch, ours: dict[str, Question], *, is_new: bool) -> None:
        self._finished[batch.number] = (0, len(batch.lines))
        self._out |= dict.fromkeys(batch.calls, ours)
        self._spawn(self._follow(batch, ours, is_new))

    async def _follow(self, batch: OpenBatch, ours: dict[str, Question], is_new: bool) -> None:
        def tell(done: int) -> None:
            self._finished[batch.number] = (done, len(batch.lines))

        lines = [self._batches.line(one) for one in ours.values()] if is_new else []
        followed = await self._desk.follow(batch, lines, tell)
        given = await self._settle(batch, followed)
        is_over = isinstance(followed.rest, Failure)
        again = ours if is_over and self._may_ask_again(followed, is_new) else {}
        for key, outcome in given.items():
            self._out.pop(key, None)
            if key in again and isinstance(outcome, Deferred) and outcome.reason not in _FINAL:
                self._put(again[key])
            else:
                self._answer_all([key], outcome)
        if not is_over:
            del self._finished[batch.number]

    def _may_ask_again(self, followed: Followed, is_new: bool) -> bool:
        """What a killed run asked fails in this one for the first time; good lines want no bad."""
        self._refusals += followed.is_partly_refused
        return not is_new or (
            followed.is_partly_refused and self._refusals < self._settings.retry.tries
        )

    async def _settle(self, batch: OpenBatch, followed: Followed) -> dict[str, Answer | Deferred]:
        given = dict(
            await asyncio.gather(
                *(
                    self._settle_one(batch, key, found)
                    for key, found in followed.outcomes.items()
                    if key in batch.calls
                )
            )
        )
        rest = followed.rest
        if isinstance(rest, Failure):
            state: State = "unknown" if rest.kind.may_be_billed else "free"
            bill = Bill(state, rest.reason)
            await self._session.journal.write(
                partial(end_batch, session=self._session, batch=batch, bill=bill)
            )
        outcome = deferred(rest, 1) if isinstance(rest, Failure) else rest
        return dict.fromkeys(batch.calls, outcome) | given

    async def _settle_one(
        self, batch: OpenBatch, key: str, found: Reply | Failure
    ) -> tuple[str, Answer | Deferred]:
        if isinstance(found, Reply) and not self._wire.has_answer(found.value):
            found = Failure("wrong_shape", 200)
        outcome = Outcome.of(self._wire, key, batch.calls[key], batch.uppers[key], found)
        self.balance = await self._session.journal.write(partial(outcome.write, self._session))
        return key, deferred(found, 1) if isinstance(found, Failure) else outcome.answer(found)

    def _answer_all(self, keys: Collection[str], outcome: Answer | Deferred) -> None:
        for key in keys:
            waiting = self._waiting.pop(key, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(outcome)
