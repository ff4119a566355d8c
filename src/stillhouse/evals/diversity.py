"""How varied the words of a candidate's answers are, all answers together.

Of each answer the first 64 words count, so that a candidate is not more varied because it says
more. A word is kept as a number (of 48 bits, from its digest), in one column for each place, so
that the table of scores holds all that the statistics need; places without a word hold -1.

Legend: N examples, P places, R resamples, E pairs of an example and a word that it has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.words import words_of
from stillhouse.evals.bootstrap import Statistic
from stillhouse.evals.linear import linear_values
from stillhouse.evals.metric import Metric
from stillhouse.evals.scores import Column, Scores

NUM_WORDS = 64
"""assumption: an image prompt or a short answer has said by then what it is about; of longer ones
the beginning stands for the whole."""
_PREFIX = "word:"
_NONE = -1.0
_ID_BYTES = 6  # below 2**53, which is where float64 stops being exact
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def score_words(texts: Sequence[str]) -> dict[str, Column]:
    """The columns of the words of each text, one text an example.

    Args:
        texts: a candidate's answers.

    Returns:
        `word:00` to `word:63`, (N,) a number for each word, -1 where the text has ended.
    """
    return score_units([[words_of(text)] for text in texts])


def score_units(
    answers: Sequence[Sequence[Sequence[Hashable]]], num_units: int = NUM_WORDS
) -> dict[str, Column]:
    """The columns of any units: words, token ids, clusters.

    Args:
        answers: of each example one or several answers, each a sequence of units. Two candidates
            that are compared need the same number of answers; an empty one stands for none.
        num_units: of each answer, the first so many count.

    Returns:
        `word:00` and so on, (N,); a free place stands between two answers.
    """
    most = max((len(own) for own in answers), default=1)
    places = np.full((len(answers), max(1, most) * (num_units + 1) - 1), _NONE)
    for row, own in zip(places, answers, strict=True):
        for number, units in enumerate(own):
            ids = [_number(str(unit)) for unit in units[:num_units]]
            start = number * (num_units + 1)
            row[start : start + len(ids)] = ids
    digits = len(str(places.shape[1] - 1))
    return {f"{_PREFIX}{at:0{digits}d}": column for at, column in enumerate(places.T.copy())}


@lru_cache(maxsize=1 << 16)
def _number(unit: str) -> float:
    digest = hashlib.blake2b(unit.encode("utf-8", "surrogatepass"), digest_size=_ID_BYTES)
    return float(int.from_bytes(digest.digest(), "little"))


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each example has each kind, where it has it at all.

    Attributes:
        rows: (E,) the example.
        kinds: (E,) the kind, 0 to V - 1.
        counts: (E,) how often, > 0.
        num_rows: N.
    """

    rows: NDArray[np.int64]
    kinds: NDArray[np.int64]
    counts: NDArray[np.float64]
    num_rows: int

    @property
    def totals(self) -> NDArray[np.float64]:
        """(V,) how often each kind is there in all."""
        return np.bincount(self.kinds, self.counts).astype(np.float64)

    def in_each(self, values_E: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) values of pairs, summed for each example.

        Args:
            values_E: (E,), one a pair.

        Returns:
            The sums; 0 for an example without any.
        """
        found = np.bincount(self.rows, values_E, minlength=self.num_rows)
        return found.astype(np.float64)


def count_units(places_NP: NDArray[np.float64], length: int) -> Counts:
    """The runs of `length` units of each example.

    Args:
        places_NP: (N, P) as `score_units` numbers them.
        length: 1 for units, 2 for pairs of neighbours.

    Returns:
        Their counts.
    """
    num_runs = max(0, places_NP.shape[1] - length + 1)
    windows = [places_NP[:, start : start + num_runs] for start in range(length)]
    whole = np.all([window != _NONE for window in windows], axis=0)
    # A run is one number too; that two of them meet in 64 bits is as good as impossible.
    joined = np.zeros(whole.shape, np.uint64)
    for window in windows:
        joined = joined * _FACTOR + np.where(whole, window, 0.0).astype(np.uint64)
    rows = np.nonzero(whole)[0].astype(np.int64)
    kinds = np.unique(joined[whole], return_inverse=True)[1].astype(np.int64)
    num_kinds = int(kinds.max()) + 1 if len(kinds) else 1
    pairs, counts = np.unique(rows * num_kinds + kinds, return_counts=True)
    return Counts(pairs // num_kinds, pairs % num_kinds, counts.astype(np.float64), len(places_NP))


@dataclass(frozen=True, slots=True)
class _Sums:
    """What entropy and distinct shares are computed from: of all examples, or without each.

    Attributes:
        units: M, how many there are.
        kinds: K, how many different ones.
        weighed: the sum of n log n over kinds.
    """

    units: NDArray[np.float64]
    kinds: NDArray[np.float64]
    weighed: NDArray[np.float64]


def _sums(counts: Counts) -> tuple[_Sums, _Sums]:
    """Of all examples, and (N,) of all but one."""
    totals = counts.totals
    own, left = counts.counts, totals[counts.kinds] - counts.counts
    before = _n_log_n(totals)[counts.kinds]
    every = _Sums(
        np.array([own.sum()]),
        np.array([float(np.count_nonzero(totals))]),
        np.array([_n_log_n(totals).sum()]),
    )
    without = _Sums(
        every.units - counts.in_each(own),
        every.kinds - counts.in_each((left == 0).astype(np.float64)),
        every.weighed - counts.in_each(before - _n_log_n(left)),
    )
    return every, without


def _n_log_n(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    product: NDArray[np.float64] = counts * np.log(np.maximum(counts, 1.0))
    return product


def _entropy(sums: _Sums) -> NDArray[np.float64]:
    """With the correction of Miller and Madow; the plain part is never below 0."""
    plain = np.maximum(np.log(sums.units) - sums.weighed / sums.units, 0.0)
    found: NDArray[np.float64] = plain + (sums.kinds - 1.0) / (2.0 * sums.units)
    return found


def _distinct(sums: _Sums) -> NDArray[np.float64]:
    share: NDArray[np.float64] = sums.kinds / sums.units
    return share


def _of_units(function: Callable[[_Sums], NDArray[np.float64]], length: int) -> Statistic:
    # A table is asked about block by block of resamples, more of them the longer it is.
    known: dict[int, tuple[NDArray[np.float64], float, NDArray[np.float64]]] = {}

    def statistic(
        columns_NS: NDArray[np.float64], weights_RN: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        if id(columns_NS) not in known:
            every, without = _sums(count_units(columns_NS, length))
            with np.errstate(divide="ignore", invalid="ignore"):
                value, left = function(every), function(without)
            # Kept with the table, so that no other can have its id.
            known[id(columns_NS)] = columns_NS, float(value[0]), left
        _, whole, without_each = known[id(columns_NS)]
        return linear_values(whole, without_each, weights_RN)

    return statistic


def word_metrics(scores: Scores) -> Iterator[Metric]:
    """Entropy and distinct shares, where the scores have the columns of `score_words`."""
    needs = tuple(sorted(name for name in scores.columns if name.startswith(_PREFIX)))
    if not needs:
        return
    yield Metric(
        "entropy",
        "Entropy of the words",
        "higher",
        f"Shannon entropy of the words of all answers together, the first {NUM_WORDS} words of "
        "each; with the correction of Miller and Madow.",
        needs,
        _of_units(_entropy, 1),
        unit="nats",
        source="Miller 1955, Note on the bias of information estimates",
    )
    for length, title in ((1, "Different words"), (2, "Different pairs of words")):
        what = "words" if length == 1 else "pairs of neighbouring words"
        yield Metric(
            f"distinct_{length}",
            title,
            "higher",
            f"Different {what} over all of them, of all answers together, the first {NUM_WORDS} "
            "words of each. It falls as answers are added: compare equal numbers of them.",
            needs,
            _of_units(_distinct, length),
            scale=(0.0, 1.0),
            source="Li et al. 2016, arXiv:1510.03055, section 5",
        )
