"""Self-BLEU: how much of each text is found in the candidate's other texts; 1 where all are equal.

The others of a text are its references, so that what many texts share counts once for each of
them. Counts are made here, once a text; BLEU itself is sacreBLEU's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from sacrebleu.metrics.bleu import BLEU

from stillhouse.data.words import words_of
from stillhouse.evals.metric import Metric
from stillhouse.evals.scores import Column

MOST_TEXTS = 1000
"""assumption: self-BLEU moves little beyond; measured: 1,000 texts of 50 words take 0.9 s."""
_ORDER = 4
_ASKED = "self_bleu_asked"

Gram = tuple[str, ...]


def score_self_bleu(
    texts: Sequence[str], *, most: int = MOST_TEXTS, seed: int = 0
) -> dict[str, Column]:
    """The columns of self-BLEU, one text an example.

    Args:
        texts: a candidate's answers.
        most: of more texts so many are drawn; the drawn ones are also each other's references.
        seed: of the draw; equal seeds draw the same places for two candidates.

    Returns:
        `self_bleu`: (N,) BLEU-4 of the words against all other drawn texts, in [0, 1].
        `self_bleu_asked`: (N,) 1 for texts that were drawn, have words, and are not alone.
    """
    drawn = np.arange(len(texts))
    if len(texts) > most:
        drawn = np.sort(np.random.default_rng(seed).choice(len(texts), most, replace=False))
    spoken = [(place, words) for place in drawn.tolist() if (words := words_of(texts[place]))]
    columns = {"self_bleu": np.zeros(len(texts)), _ASKED: np.zeros(len(texts))}
    if len(spoken) < 2:
        return columns
    grams = [_grams(words) for _, words in spoken]
    others = _Others(grams, [len(words) for _, words in spoken])
    for number, (place, words) in enumerate(spoken):
        columns["self_bleu"][place] = others.bleu(number, len(words)) / 100.0
        columns[_ASKED][place] = 1.0
    return columns


def _grams(words: Sequence[str]) -> Counter[Gram]:
    return Counter(
        tuple(words[start : start + length])
        for length in range(1, _ORDER + 1)
        for start in range(len(words) - length + 1)
    )


class _Others:
    """All texts, each to be held against all but itself."""

    def __init__(self, grams: Sequence[Counter[Gram]], lengths: Sequence[int]) -> None:
        self._grams = grams
        self._lengths = np.array(lengths)
        # The most that any text has of a run, and the most that any but that one has.
        self._top: dict[Gram, tuple[int, int]] = {}
        self._owner: dict[Gram, int] = {}
        seen: defaultdict[Gram, tuple[int, int]] = defaultdict(lambda: (0, 0))
        for number, own in enumerate(grams):
            for gram, count in own.items():
                first, second = seen[gram]
                if count > first:
                    seen[gram], self._owner[gram] = (count, first), number
                else:
                    seen[gram] = (first, max(second, count))
        self._top = dict(seen)

    def bleu(self, number: int, length: int) -> float:
        correct, total = [0] * _ORDER, [max(0, length - order) for order in range(_ORDER)]
        for gram, count in self._grams[number].items():
            first, second = self._top[gram]
            correct[len(gram) - 1] += min(count, second if self._owner[gram] == number else first)
        closest = self._closest(number, length)
        found = BLEU.compute_bleu(
            correct, total, length, closest, smooth_method="exp", effective_order=True
        )
        return float(found.score)

    def _closest(self, number: int, length: int) -> int:
        """The other length that is nearest, the shorter of two."""
        others = np.delete(self._lengths, number)
        apart = np.abs(others - length)
        return int(others[apart == apart.min()].min())


METRICS = (
    Metric(
        "self_bleu",
        "Self-BLEU",
        "lower",
        f"Mean BLEU-4 of each answer against all others, of at most {MOST_TEXTS:,} drawn ones; "
        "compare equal numbers of answers. The interval holds the references as they are.",
        ("self_bleu", _ASKED),
        counted=_ASKED,
        scale=(0.0, 1.0),
        source="Zhu et al. 2018, arXiv:1802.01886, section 3.1, with sacreBLEU",
    ),
)
