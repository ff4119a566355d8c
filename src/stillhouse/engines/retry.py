"""How long to wait before asking again."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a failed request is made again.

    Attributes:
        tries: requests for one question that may fail before it is deferred; a request that was
            told to wait is none of them.
        first_s: the pause after the first failure; each further one is twice as long.
        longest_s: no pause of our own is longer.
        patience_s: how long a provider may do nothing but ask to wait.
    """

    tries: int = 5
    first_s: float = 1.0
    longest_s: float = 60.0
    patience_s: float = 900.0

    def pause_s(self, failures: int, random_source: random.Random) -> float:
        """A pause after so many failures, drawn from 0 to the doubling bound ("full jitter").

        Args:
            failures: so far, >= 1.
            random_source: draws the share.

        Returns:
            Seconds.
        """
        bound = min(self.longest_s, self.first_s * 2.0 ** (min(failures, 64) - 1))
        return random_source.uniform(0.0, bound)
