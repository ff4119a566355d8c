"""A scored row of another tool, checked and turned into targets of ours.

What cannot be known is not made up: log Z at another kd_temperature than 1 needs the whole
vocabulary, so only 1 is declared.

Legend: T tokens of a row, P trained tokens, K kept entries, E entries of the source.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import InputError
from stillhouse.core.targets import TargetKey, TokenTargets

# assumption: rounding to bfloat16 lifts no log-probability further above 0 than this.
_MOST_LOGPROB = 1e-2
# assumption: the recommended polynomials miss the whole mass by less; more is another config.
_MOST_MASS = 1.05
# assumption: float16 rounds a sum of 1 by less; no teacher leaves its tail that small everywhere.
_WHOLE_MASS = 1e-3
_FEWEST_POSITIONS = 64  # assumption: fewer positions can agree by chance
_CLEARLY_MORE, _CLEAR_GAP = 1.5, 0.1
"""assumption: a shifted reading is right where it explains the text so much better."""


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """One row of a source: its tokens, and what the teacher said about those that are trained.

    Attributes:
        place: `file:row`.
        ids: (T,) the row's tokens.
        is_trained: (T,) bool, true where the teacher's word is known and the token is learned.
        entry_ids: (P, E) token ids for each trained token, in any order.
        entry_logprobs: (P, E) nats.
    """

    place: str
    ids: NDArray[np.int64]
    is_trained: NDArray[np.bool_]
    entry_ids: NDArray[np.int64]
    entry_logprobs: NDArray[np.float64]


@dataclass(slots=True)
class Evidence:
    """What all rows together say about how the source was made.

    Attributes:
        positions: trained tokens.
        renormalised: of these, whose entries sum to 1.
        mass: probability that the entries give to the observed token, to the one before it and
            to the one behind it.
    """

    positions: int = 0
    renormalised: int = 0
    mass: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))

    def add(self, row: ScoredRow) -> None:
        """Look at one row."""
        places = np.flatnonzero(row.is_trained)
        probs = np.exp(row.entry_logprobs)
        self.positions += len(places)
        self.renormalised += int((np.abs(probs.sum(axis=1) - 1) < _WHOLE_MASS).sum())
        padded = np.concatenate([row.ids, [-1]])
        for number, shift in enumerate((0, -1, 1)):
            others = padded[places + shift]
            self.mass[number] += probs[row.entry_ids == others[:, None]].sum()

    def is_renormalised(self) -> bool:
        """Whether the entries of every position sum to 1."""
        return self.positions > 0 and self.renormalised == self.positions

    def refuse_shifted(self, mend: str) -> None:
        """Raise when the rows describe the tokens beside those that they are read for.

        Args:
            mend: what to do.

        Raises:
            InputError: says how much better the other reading is.
        """
        if self.positions < _FEWEST_POSITIONS:
            return
        here, before, behind = (self.mass / self.positions).tolist()
        best, word = max((before, "before"), (behind, "behind"))
        if best > _CLEARLY_MORE * here and best > here + _CLEAR_GAP:
            raise InputError(
                f"the source is one position off: its entries give {here:.1%} of the probability "
                f"to the token that they are read for, and {best:.1%} to the one {word} it "
                f"({self.positions:,} positions)",
                mend,
            )


def refuse_wrong(row: ScoredRow, top_k: int, vocab_size: int) -> None:
    """Raise on what cannot be of a distribution over a vocabulary.

    Args:
        row: the row.
        top_k: entries that are to be kept.
        vocab_size: token ids lie below it.

    Raises:
        InputError: names the row and the first position.
    """
    ids, logprobs = row.entry_ids, row.entry_logprobs
    for name, tokens in (("its tokens", row.ids), ("its log-probabilities", ids)):
        foreign = tokens[(tokens < 0) | (tokens >= vocab_size)]
        if len(foreign):
            raise InputError(
                f"{row.place}: {name} name the token id {foreign[0]}; the tokenizer has ids from "
                f"0 to {vocab_size - 1}",
                "give the tokenizer that the source was made with",
            )
    if ids.shape[1] < top_k:
        raise InputError(
            f"{row.place}: {ids.shape[1]} entries a position, {top_k} are to be kept",
            f"keep fewer with --top-k {ids.shape[1]}",
        )
    doubled = np.sort(ids, axis=1)
    sums = np.exp(np.minimum(logprobs, 1.0)).sum(axis=1)
    faults = (
        (~np.isfinite(logprobs).all(axis=1), "holds a log-probability that is no finite number"),
        ((logprobs > _MOST_LOGPROB).any(axis=1), "holds a positive log-probability"),
        ((doubled[:, 1:] == doubled[:, :-1]).any(axis=1), "names a token twice"),
        (sums > _MOST_MASS, "has more probability than 1"),
    )
    places = np.flatnonzero(row.is_trained)
    for is_wrong, words in faults:
        if is_wrong.any():
            first = int(np.argmax(is_wrong))
            shown = ", ".join(f"{value:.4g}" for value in logprobs[first, :4])
            raise InputError(
                f"{row.place}: what is said of token {places[first]} {words} "
                f"(log-probabilities {shown}, ...; they sum to {sums[first]:.4g} as probabilities)",
                "log-probabilities at temperature 1 over the whole vocabulary are wanted; look at "
                "the settings that the source was made with",
            )


def to_targets(
    row: ScoredRow, key: TargetKey, top_k: int, spans: NDArray[np.int32]
) -> TokenTargets:
    """Targets of a scored row.

    Args:
        row: a row that `refuse_wrong` let pass; its entries may be in any order, more than K.
        key: what the targets belong to.
        top_k: K.
        spans: (T, 2) half-open byte offsets of the row's tokens.

    Returns:
        Targets with log Z at kd_temperature 1. An observed token that is not kept has the
        highest log-probability that it can have.
    """
    logprobs, ids = row.entry_logprobs, row.entry_ids
    order = np.argsort(-logprobs, axis=1, kind="stable")
    ids = np.take_along_axis(ids, order, axis=1)
    logprobs = np.take_along_axis(logprobs, order, axis=1)
    # Rounding in the source may lift the sum above 1.
    logprobs = logprobs - np.maximum(np.log(np.exp(logprobs).sum(axis=1, keepdims=True)), 0.0)
    ids, logprobs = ids[:, :top_k], np.minimum(logprobs[:, :top_k], 0.0)
    observed = row.ids[row.is_trained].astype(np.int32)
    return TokenTargets(
        key=key,
        token_ids=observed,
        byte_offsets=spans[row.is_trained],
        observed_logprobs=_observed(observed, ids, logprobs).astype(np.float32),
        top_ids=ids.astype(np.int32),
        top_logprobs=logprobs.astype(np.float32),
        log_z=np.zeros((len(observed), 1), np.float32),
    )


def _observed(
    observed: NDArray[np.int32], ids: NDArray[np.int64], logprobs: NDArray[np.float64]
) -> NDArray[np.float64]:
    is_kept = ids == observed[:, None]
    tail = np.maximum(1.0 - np.exp(logprobs).sum(axis=1), 1e-30)
    highest = np.minimum(logprobs[:, -1], np.log(tail))
    kept: NDArray[np.float64] = np.where(is_kept, logprobs, -np.inf).max(axis=1)
    return np.where(is_kept.any(axis=1), kept, highest)
