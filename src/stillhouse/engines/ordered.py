"""Many questions at once for a caller who knows nothing of event loops: answers in order.

The loop runs in a thread of its own, so that answers are fetched and kept while the caller works
on those before them. A caller that stops early (Ctrl-C, an error) stops the asking: what is on
the wire is waited for, for a while, because it is being paid for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Generic, TypeVar

A = TypeVar("A")
Q = TypeVar("Q")
R = TypeVar("R")

_WINDOW = 64  # assumption: times the workers; one slow answer holds up no more than so many others
_BUNCH_S = 0.003
"""Answers are handed over together, so that two threads wake each other less often."""
_NAP_S = 0.02  # assumption: nobody sees a stop or a full window sooner


def _say_nothing() -> None:
    """For a crew whose answers come one after another."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How many ask at once, and how they wait; each as in `Crew`."""

    workers: int
    drain_s: float = 30.0
    tell_every_s: float | None = None


@dataclass(frozen=True, slots=True)
class Crew(Generic[A, Q, R]):
    """Who asks.

    Attributes:
        open: what all questions share, opened and closed in the loop's thread.
        ask: one question.
        workers: questions in hand at a time.
        drain_s: how long a stop waits for questions under way.
        tell: called while no answer comes, by the caller's thread.
        tell_every_s: seconds between two such calls; None for never.
    """

    open: Callable[[], AbstractAsyncContextManager[A]]
    ask: Callable[[A, Q], Awaitable[R]]
    workers: int
    drain_s: float = 30.0
    tell: Callable[[], None] = _say_nothing
    tell_every_s: float | None = None


def ask_in_order(crew: Crew[A, Q, R], questions: Sequence[Q]) -> Iterator[R]:
    """An answer a question, in the order of the questions.

    Args:
        crew: who asks.
        questions: all of them.

    Yields:
        What `crew.ask` gave back.

    Raises:
        Exception: what `crew.ask` raised, when its turn comes; the rest is stopped.
    """
    work = _Work(crew, questions)
    thread = Thread(target=work.run, daemon=True, name="engine")
    thread.start()
    early: dict[int, R | _Failed] = {}
    try:
        for number in range(len(questions)):
            while number not in early:
                try:
                    bunch = work.results.get(timeout=crew.tell_every_s)
                except Empty:
                    crew.tell()
                    continue
                early |= {max(index, number): found for index, found in bunch}
            work.given = number + 1
            result = early.pop(number)
            if isinstance(result, _Failed):
                raise result.error
            yield result
    finally:
        work.stop.set()
        thread.join()


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


class _Work(Generic[A, Q, R]):
    def __init__(self, crew: Crew[A, Q, R], questions: Sequence[Q]) -> None:
        self._crew = crew
        self._questions = questions
        self._left = iter(range(len(questions)))
        self._bunch: list[tuple[int, R | _Failed]] = []
        self.results: SimpleQueue[list[tuple[int, R | _Failed]]] = SimpleQueue()
        self._error: BaseException = asyncio.CancelledError()
        self.stop = Event()
        self.given = 0

    def run(self) -> None:
        """The thread; its last word is an error, for whoever still waits for an answer."""
        try:
            asyncio.run(self._all())
        except BaseException as error:
            self._error = error
        self._flush()
        self.results.put([(-1, _Failed(self._error))])

    async def _all(self) -> None:
        async with self._crew.open() as shared:
            count = min(self._crew.workers, len(self._questions))
            tasks = [asyncio.create_task(self._one_after_another(shared)) for _ in range(count)]
            stopper = asyncio.create_task(self._stop(tasks))
            await asyncio.gather(*tasks, return_exceptions=True)
            stopper.cancel()

    async def _stop(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        while not self.stop.is_set():
            await asyncio.sleep(10 * _NAP_S)
        await asyncio.wait(tasks, timeout=self._crew.drain_s)
        for task in tasks:
            task.cancel()

    async def _one_after_another(self, shared: A) -> None:
        for index in self._left:
            while index - self.given >= _WINDOW * self._crew.workers and not self.stop.is_set():
                await asyncio.sleep(_NAP_S)
            if self.stop.is_set():
                return
            try:
                self._give(index, await self._crew.ask(shared, self._questions[index]))
            except Exception as error:
                self.stop.set()
                self._error = error
                self._give(index, _Failed(error))
                return

    def _give(self, index: int, found: R | _Failed) -> None:
        if not self._bunch:
            asyncio.get_running_loop().call_later(_BUNCH_S, self._flush)
        self._bunch.append((index, found))

    def _flush(self) -> None:
        if self._bunch:
            self.results.put(self._bunch)
            self._bunch = []
