"""Shannon entropy of counts, plain and with the usual corrections of its bias.

A sample has rarely seen every word there is, so the plain entropy of its counts is too small. The
corrections guess what was not seen.

Legend: V kinds (words, tokens, clusters, tags).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stillhouse.core.errors import UsageError

Correction = Literal["plain", "miller_madow", "grassberger", "chao_shen"]


def entropy(counts_V: ArrayLike, correction: Correction = "miller_madow") -> float:
    """The Shannon entropy of counts, in nats.

    Args:
        counts_V: (V,) how often each kind was seen, whole numbers >= 0; zeros change nothing.
        correction: `plain` is the entropy of the shares; `miller_madow` adds (K - 1) / 2M for K
            kinds seen in M; `grassberger` is for few counts of many kinds, and is not exactly 0
            where only one kind was seen; `chao_shen` also guesses the mass of kinds never seen.

    Returns:
        0 for one kind, log K for K kinds seen equally often (without a correction); NaN where
        nothing was counted.

    Raises:
        UsageError: a count is negative, or there is no such correction.

    Source: Miller 1955, Note on the bias of information estimates; Grassberger 2003,
    arXiv:physics/0307138, equation 30; Chao & Shen 2003, Environmental and Ecological Statistics
    10, equation 6.
    """
    counts = np.asarray(counts_V, np.float64).ravel()
    if (counts < 0).any() or not np.isfinite(counts).all():
        raise UsageError("a count is negative or not a number", "entropy is of counts >= 0")
    if correction not in _CORRECTIONS:
        raise UsageError(
            f"no correction of the entropy is called {correction!r}",
            f"use one of {', '.join(_CORRECTIONS)}",
        )
    seen = counts[counts > 0]
    return float(_CORRECTIONS[correction](seen)) if len(seen) else float("nan")


def entropy_of_shares(shares_V: NDArray[np.float64]) -> float:
    """The entropy of a distribution, in nats.

    Args:
        shares_V: (V,), >= 0, of sum 1.

    Returns:
        Between 0 and log V.
    """
    held = shares_V[shares_V > 0]
    return max(0.0, float(-(held * np.log(held)).sum()))


def _plain(seen: NDArray[np.float64]) -> float:
    return entropy_of_shares(seen / seen.sum())


def _miller_madow(seen: NDArray[np.float64]) -> float:
    return _plain(seen) + (len(seen) - 1) / (2.0 * float(seen.sum()))


def _grassberger(seen: NDArray[np.float64]) -> float:
    # measured: 0.16 s to import, which every command would wait for.
    from scipy.special import digamma

    half = 0.5 * (digamma((seen + 1) / 2) - digamma(seen / 2))
    each = digamma(seen) + np.where(seen % 2 == 0, half, -half)
    total = float(seen.sum())
    return float(np.log(total) - (seen * each).sum() / total)


def _chao_shen(seen: NDArray[np.float64]) -> float:
    total = float(seen.sum())
    once = float((seen == 1).sum())
    # With nothing seen twice the coverage would be 0, and the guess without bound.
    covered = 1.0 - min(once, total - 1.0) / total
    shares = covered * seen / total
    if covered == 0.0:  # one thing seen once
        return 0.0
    with np.errstate(divide="ignore"):  # a share of 1 is seen for sure
        was_seen = -np.expm1(total * np.log1p(-shares))
    return max(0.0, float(-(shares * np.log(shares) / was_seen).sum()))


_CORRECTIONS: dict[str, Callable[[NDArray[np.float64]], float]] = {
    "plain": _plain,
    "miller_madow": _miller_madow,
    "grassberger": _grassberger,
    "chao_shen": _chao_shen,
}
