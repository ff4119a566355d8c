"""Whether a failed request is made again, after the pause that it asks for."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from stillhouse.engines.limits import Limiter
from stillhouse.engines.outcomes import Failure, Then
from stillhouse.engines.retry import RetryPolicy


class Patience:
    """One provider's rests and our own pauses.

    Args:
        limiter: of the provider; told to rest where the provider asks for it.
        policy: how often, how long.
        seed: of the pauses.
        pause: sleeps; another in tests.
    """

    def __init__(
        self, limiter: Limiter, policy: RetryPolicy, seed: int, pause: Callable[[float], Any]
    ) -> None:
        self._limiter = limiter
        self._policy = policy
        self._pause = pause
        self._random = random.Random(seed)

    async def may_go_on(self, failure: Failure, failed: int) -> bool:
        """True when the request is to be made again; the pause of a retry is over by then.

        Args:
            failure: how it ended.
            failed: failures so far, this one included; being told to wait is none.

        Returns:
            False when this was the last try.
        """
        policy, then = self._policy, failure.kind.then
        if then is Then.REST:
            self._limiter.rest(failure.retry_after_s)
            is_short = (failure.retry_after_s or 0.0) <= policy.patience_s
            return is_short and not self._limiter.is_given_up()
        if then is Then.RETRY and failed < policy.tries:
            asked_s = failure.retry_after_s or 0.0
            if asked_s > policy.patience_s:
                return False
            await self._pause(max(asked_s, policy.pause_s(failed, self._random)))
            return True
        return then is Then.NEXT_KEY
