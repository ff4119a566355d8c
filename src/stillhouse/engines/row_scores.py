"""What whole rows of logits say about given text, one row at a time and without torch.

The plain form of `models/score.py`: sums in float64, a sort instead of a search in blocks.

Legend: P trained tokens of one example, V vocabulary, K kept entries, D kd_temperatures, S draws.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import ModelError
from stillhouse.models.scoring import Scoring
from stillhouse.models.tally import NOT_DRAWN

_ALWAYS = ("observed_logprobs", "top_ids", "top_logprobs", "log_z")
_WITH_DRAWS = (*_ALWAYS, "drawn", "entropy")


class RowScores:
    """The scores of one example, gathered row by row.

    Args:
        scoring: how; `batch_size` means nothing here.
        observed_P: (P,) the trained tokens.
        uniforms_PS: (P, S) in [0, 1), what decides the draws.
    """

    def __init__(
        self, scoring: Scoring, observed_P: NDArray[np.int32], uniforms_PS: NDArray[np.float64]
    ) -> None:
        self._scoring = scoring
        self._observed_P = observed_P
        self._uniforms_PS = uniforms_PS
        self._rows: list[dict[str, Any]] = []

    def add(self, logits_V: NDArray[np.float32]) -> None:
        """Take what predicts the next trained token.

        Args:
            logits_V: (V,) or longer; what lies behind the vocabulary gets no mass.

        Raises:
            ModelError: a number is none (NaN), or there is no finite one.
        """
        place, scoring = len(self._rows), self._scoring
        row_V = logits_V[: scoring.vocab_size].astype(np.float64)
        log_z = log_sum_exp(row_V)
        ids_K = largest(row_V, scoring.top_k)
        found: dict[str, Any] = {
            "observed_logprobs": row_V[self._observed_P[place]] - log_z,
            "top_ids": ids_K,
            "top_logprobs": row_V[ids_K] - log_z,
            "log_z": [log_sum_exp(row_V / t) - log_z / t for t in scoring.kd_temperatures],
        }
        if scoring.num_draws:
            softened_V = row_V / scoring.kd_temperatures[0]
            found["entropy"] = _entropy(softened_V)
            found["drawn"] = _draw(softened_V, ids_K, self._uniforms_PS[place])
        self._rows.append(found)

    def columns(self) -> dict[str, NDArray[Any]]:
        """The scores of all rows so far.

        Returns:
            `observed_logprobs` (P,), `top_ids` and `top_logprobs` (P, K), `log_z` (P, D), and
            with draws `drawn` (P, S), ascending in each row, and `entropy` (P,).
        """
        names = _WITH_DRAWS if self._scoring.num_draws else _ALWAYS
        return {
            name: np.array(
                [row[name] for row in self._rows],
                np.int32 if name in ("top_ids", "drawn") else np.float32,
            )
            for name in names
        }


def log_sum_exp(row_V: NDArray[np.float64]) -> float:
    """The log of the sum of exponentials.

    Args:
        row_V: (V,) logits.

    Returns:
        nats, finite.

    Raises:
        ModelError: a logit is NaN, or none is finite.
    """
    peak = row_V.max()
    if not np.isfinite(peak):
        raise ModelError(
            "the model's logits are no numbers (NaN or infinite)",
            "its weights are damaged, or too large for their type: make the file again",
        )
    return float(peak + np.log(np.exp(row_V - peak).sum()))


def largest(row_V: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The ids of the largest entries.

    Args:
        row_V: (V,).
        count: K; at most V are there.

    Returns:
        (K,) descending by entry, the smaller id first among equals.
    """
    count = min(count, len(row_V))
    if count == 0:
        return np.zeros(0, np.int64)
    border = np.partition(row_V, -count)[-count]
    ids = np.flatnonzero(row_V >= border)
    return ids[np.argsort(-row_V[ids], kind="stable")[:count]]


def pick(weights_V: NDArray[np.float64], uniforms_S: NDArray[np.float64]) -> NDArray[np.int64]:
    """Ids drawn by weight: the inverse of the distribution function.

    Args:
        weights_V: (V,) >= 0, not all 0.
        uniforms_S: (S,) in [0, 1).

    Returns:
        (S,); never an id of weight 0.
    """
    cumulated_V = weights_V.cumsum()
    total = cumulated_V[-1]
    aims_S = np.minimum(uniforms_S * total, np.nextafter(total, 0.0))
    return np.searchsorted(cumulated_V, aims_S, side="right")


def _entropy(softened_V: NDArray[np.float64]) -> float:
    log_z = log_sum_exp(softened_V)
    # An id of logit -inf has no mass and adds nothing.
    there_V = softened_V[np.isfinite(softened_V)]
    return max(0.0, log_z - float((np.exp(there_V - log_z) * there_V).sum()))


def _draw(
    softened_V: NDArray[np.float64], kept_K: NDArray[np.int64], uniforms_S: NDArray[np.float64]
) -> NDArray[np.int64]:
    weights_V = np.exp(softened_V - softened_V.max())
    weights_V[kept_K] = 0.0
    if not weights_V.any():
        return np.full(len(uniforms_S), NOT_DRAWN, np.int64)
    return np.sort(pick(weights_V, uniforms_S))
