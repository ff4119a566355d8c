"""Waiting for a place under a provider's and a key's limits.

A request first waits until a place is free, then reserves its price, then takes the place and
goes at once: so nothing is reserved during a long rest, and nothing but the way to the server
lies between a place and the arrival. Only a few requests of a process are on that path at a time;
the others stand behind them, in the order of arrival.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from stillhouse.engines.retry import RetryPolicy
from stillhouse.store.slots import Limit, Place, SlotTable

_LONGEST_NAP_S = 0.2
"""assumption: tokens given back and rests announced by others are noticed soon enough."""


_LOOK_AGAIN_S = 0.05
"""assumption: without limits, a rest that another process announces may be noticed so late."""

_ON_THE_PATH = 8
"""assumption: so many reservations are committed together, and a crash leaves no more of them
that were never sent."""

_UNLIMITED = 2**31
_ANYWHERE = Place(0.0, 0.0, 0.0)
_Look = Callable[[Sequence[Limit], int, Sequence[str]], Place]


class Limiter:
    """The limits and the pauses of one provider in this process.

    Args:
        provider: whose pauses hold for every key.
        limits: of the provider, and of each of its keys.
        slots: the shared table.
        policy: how patient to be.
        clock: seconds, only ever forward.
    """

    def __init__(
        self,
        provider: str,
        limits: Sequence[Limit],
        slots: SlotTable,
        policy: RetryPolicy,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.provider = provider
        self.limits = tuple(limits)
        self._slots = slots
        self._policy = policy
        self._clock = clock
        self._turn = asyncio.Lock()
        self.path = asyncio.Semaphore(_ON_THE_PATH if limits else _UNLIMITED)
        self._rests_in_a_row = 0
        self._resting_until = 0.0
        self._unserved_since: float | None = None
        self._unhindered_until = 0.0

    async def is_free(self, tokens: int, alias: str) -> bool:
        """Wait until a place is free; somebody else may still take it.

        Args:
            tokens: the most that a request will use.
            alias: of the key that asks.

        Returns:
            False when the provider's rest would try anyone's patience.
        """
        return await self._wait(self._slots.look, tokens, alias) is not None

    async def take(self, tokens: int, alias: str) -> Place | None:
        """A place for one request, which goes at once.

        Args:
            tokens: the most that it will use.
            alias: of the key that asks.

        Returns:
            The place, taken; None when its rest would try anyone's patience.
        """
        async with self._turn:
            return await self._wait(self._slots.take, tokens, alias)

    async def _wait(self, how: _Look, tokens: int, alias: str) -> Place | None:
        if not self.limits and self._clock() < self._unhindered_until:
            return _ANYWHERE
        limits = self._limits_of(alias)
        while True:
            place = how(limits, tokens, [self.provider])
            if place.wait_s <= 0:
                self._unhindered_until = self._clock() + _LOOK_AGAIN_S
                return place
            if place.rest_s > self._policy.patience_s or self.is_given_up():
                return None
            await asyncio.sleep(min(place.wait_s, _LONGEST_NAP_S))

    def give_back(self, place: Place, unused_tokens: int, alias: str) -> None:
        """Note that fewer tokens were used than taken."""
        self._slots.give_back(self._limits_of(alias), place, unused_tokens)

    def _limits_of(self, alias: str) -> list[Limit]:
        return [limit.of_key(alias) for limit in self.limits]

    def rest(self, asked_s: float | None) -> None:
        """Let the whole provider rest, all keys and all processes.

        Args:
            asked_s: what it asked for; None for a pause of our own, which grows from rest to
                rest, and so for 0, which may also be a date that its clock has behind ours.
                Requests that were under way when a rest began do not make it longer.
        """
        now = self._clock()
        if self._unserved_since is None:
            self._unserved_since = now
        if not asked_s:
            if now < self._resting_until:
                return
            growth = 2.0 ** min(self._rests_in_a_row, 32)
            asked_s = min(self._policy.longest_s, self._policy.first_s * growth)
            self._rests_in_a_row += 1
        self._resting_until = max(self._resting_until, now + asked_s)
        self._unhindered_until = 0.0
        self._slots.rest(self.provider, asked_s)

    def is_served(self) -> None:
        """The provider answered: the next pause of our own starts small again."""
        self._rests_in_a_row = 0
        self._unserved_since = None

    def is_given_up(self) -> bool:
        """The provider has only ever asked to wait for as long as patience lasts."""
        since = self._unserved_since
        return since is not None and self._clock() - since > self._policy.patience_s
