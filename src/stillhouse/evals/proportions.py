"""Intervals of fractions that need no resampling: of one, and of two on the same examples.

A bootstrap of answers that all agree has no width, however few they are; these have one.
Counts may be broken numbers, so that one can ask what more examples of the same kind would show.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy import special

_HALVINGS = 60
_MOST_EXAMPLES = 10_000_000


@dataclass(frozen=True, slots=True)
class Pairs:
    """How two candidates did on the same examples.

    Attributes:
        both: examples that both have right.
        first: that the first alone has right.
        second: that the second alone has right.
        neither: that neither has right.
    """

    both: float
    first: float
    second: float
    neither: float

    @property
    def n(self) -> float:
        """All examples."""
        return self.both + self.first + self.second + self.neither

    def grown(self, n: float) -> Pairs:
        """As many as `n` examples in the same shares."""
        factor = n / self.n
        counts = (self.both, self.first, self.second, self.neither)
        return Pairs(*(factor * count for count in counts))


def exact_interval(successes: float, n: float, confidence: float) -> tuple[float, float]:
    """The bounds of a fraction, which hold at every sample size and every true fraction.

    Args:
        successes: from 0 to n.
        n: > 0.
        confidence: of the interval, in (0, 1).

    Returns:
        Low and high, in [0, 1].

    Source: Clopper & Pearson 1934, Biometrika 26(4), 404-413.
    """
    tail = (1.0 - confidence) / 2.0
    failures = n - successes
    low = float(special.betaincinv(successes, failures + 1.0, tail)) if successes > 0 else 0.0
    high = float(special.betaincinv(successes + 1.0, failures, 1.0 - tail)) if failures > 0 else 1.0
    return low, high


def difference_interval(pairs: Pairs, confidence: float) -> tuple[float, float]:
    """The bounds of the first fraction minus the second, on the same examples.

    Args:
        pairs: counts, n > 0.
        confidence: of the interval, in (0, 1).

    Returns:
        Low and high, in [-1, 1]: the differences that a score test does not refuse.

    Source: Tango 1998, Statistics in Medicine 17, 891-908.
    """
    n, first, second = pairs.n, pairs.first, pairs.second
    z = _two_sided(confidence)

    def is_refused(difference: float) -> bool:
        a = 2.0 * n
        b = -first - second + (2.0 * n - first + second) * difference
        c = -second * difference * (1.0 - difference)
        share = (math.sqrt(max(b * b - 4.0 * a * c, 0.0)) - b) / (2.0 * a)
        variance = n * (2.0 * share + difference * (1.0 - difference))
        return _is_far(first - second - n * difference, variance, z)

    seen = (first - second) / n
    return _edge(seen, -1.0, is_refused), _edge(seen, 1.0, is_refused)


def ratio_interval(pairs: Pairs, confidence: float) -> tuple[float, float]:
    """The bounds of the first fraction over the second, on the same examples.

    Args:
        pairs: counts, n > 0.
        confidence: of the interval, in (0, 1).

    Returns:
        Low and high, >= 0; high is infinite where the second may be 0, and nothing is known
        where neither has anything right.

    Source: Tang, Tang & Chan 2003, Statistics in Medicine 22, 1217-1233.
    """
    n, right, other = pairs.n, pairs.both + pairs.first, pairs.both + pairs.second
    any_right, z = right + pairs.second, _two_sided(confidence)
    if any_right == 0:
        return 0.0, math.inf

    def is_refused(share: float) -> bool:
        # The ratio as share / (1 - share), so that all of them fit between 0 and 1.
        if share in (0.0, 1.0):
            return True
        theta = share / (1.0 - share)
        a = n * (1.0 + theta)
        b = other * theta**2 - (right + 2.0 * pairs.second)
        c = pairs.second * (1.0 - theta) * any_right / n
        second = (math.sqrt(max(b * b - 4.0 * a * c, 0.0)) - b) / (2.0 * a)
        variance = n * (1.0 + theta) * second + any_right * (theta - 1.0)
        return _is_far(right - theta * other, variance, z)

    seen = right / (right + other)
    low, high = _edge(seen, 0.0, is_refused), _edge(seen, 1.0, is_refused)
    return low / (1.0 - low), (high / (1.0 - high) if high < 1.0 else math.inf)


def _two_sided(confidence: float) -> float:
    return float(special.ndtri(0.5 + confidence / 2.0))


def _is_far(distance: float, variance: float, z: float) -> bool:
    return distance * distance > z * z * max(variance, 0.0)


def _edge(inside: float, outside: float, is_refused: Callable[[float], bool]) -> float:
    """Where a value that is not refused turns into one that is; the outer end if it never does."""
    if inside == outside:
        return outside
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2.0
        if is_refused(middle):
            outside = middle
        else:
            inside = middle
    return inside


def examples_to_decide(n: int, decides: Callable[[int], bool]) -> int:
    """The least number of examples at which the same shares would decide.

    Args:
        n: examples there are, which do not decide, >= 1.
        decides: whether so many would; once true, true for all larger numbers.

    Returns:
        More than n; 0 when ten million would not do.
    """
    low, high = n, 2 * n
    while not decides(high):
        if high > _MOST_EXAMPLES:
            return 0
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high
