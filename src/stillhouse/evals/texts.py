"""Answers that are running text: BLEU, chrF and ROUGE-L, from counts of each example.

BLEU and chrF of a corpus are functions of counts summed over examples, no means of examples.

Legend: R resamples, O orders of n-grams.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stillhouse.evals.bootstrap import Sums, of_sums
from stillhouse.evals.metric import SHARE, Metric

WORD_ORDERS, CHAR_ORDERS = 4, 6
"""paper: BLEU-4, Papineni et al. 2002; chrF of 6 characters, Popovic 2015."""

_BETA = 2.0  # paper: Popovic 2015: recall weighs twice as much, chrF2

BLEU_COLUMNS = (
    "bleu_length",
    "bleu_reference_length",
    *(f"bleu_right_{order}" for order in range(1, WORD_ORDERS + 1)),
    *(f"bleu_said_{order}" for order in range(1, WORD_ORDERS + 1)),
)
"""Words said and wanted; n-grams of each order that are right, and that were said."""

CHRF_COLUMNS = tuple(
    f"chrf_{part}_{order}"
    for part in ("said", "wanted", "right")
    for order in range(1, CHAR_ORDERS + 1)
)
"""Characters' n-grams of each order."""


def corpus_bleu(sums: Sums) -> NDArray[np.float64]:
    """(R,) BLEU-4 in 0 to 100, smoothed as sacrebleu does: "exp", NIST's geometric sequence.

    Args:
        sums: (R, 10), summed `BLEU_COLUMNS`.

    Returns:
        0 where no word is right, or no answer is 4 words long.

    Source: Papineni et al. 2002; smoothing: Chen & Cherry 2014, W14-3346, method 3.
    """
    length, wanted_length = sums[:, 0], sums[:, 1]
    right_RO, said_RO = sums[:, 2 : 2 + WORD_ORDERS], sums[:, 2 + WORD_ORDERS :]
    is_defined = (right_RO.sum(1) > 0) & (said_RO.min(1) > 0)
    # Each further order without a match halves what it counts as: 1/2, 1/4, ...
    smooth_RO = 0.5 ** np.cumsum(right_RO == 0, axis=1)
    counted_RO = np.where(right_RO > 0, right_RO, smooth_RO)
    precision_RO = np.divide(
        counted_RO, said_RO, out=np.ones_like(said_RO), where=is_defined[:, None]
    )
    excess = np.divide(wanted_length, length, out=np.ones_like(length), where=length > 0)
    brevity = np.exp(np.minimum(0.0, 1.0 - excess))
    found: NDArray[np.float64] = np.where(
        is_defined, 100.0 * brevity * np.exp(np.log(precision_RO).mean(1)), 0.0
    )
    return found


def corpus_chrf(sums: Sums) -> NDArray[np.float64]:
    """(R,) chrF2 in 0 to 100, averaged over the orders that answers and references both have.

    Args:
        sums: (R, 18), summed `CHRF_COLUMNS`.

    Returns:
        0 where nothing matches.

    Source: Popovic 2015, W15-3049; effective orders as in sacrebleu.
    """
    said_RO, wanted_RO, right_RO = np.split(sums, 3, axis=1)
    counts_RO = (said_RO > 0) & (wanted_RO > 0)
    num_orders = np.maximum(counts_RO.sum(1), 1)
    precision, recall = (
        np.divide(right_RO, below_RO, out=np.zeros_like(right_RO), where=counts_RO).sum(1)
        / num_orders
        for below_RO in (said_RO, wanted_RO)
    )
    above = (1.0 + _BETA**2) * precision * recall
    below = _BETA**2 * precision + recall
    score: NDArray[np.float64] = 100.0 * np.divide(
        above, below, out=np.zeros_like(above), where=below > 0
    )
    return score


def _of_field(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{name}:{{field}}" for name in names)


_UNREADABLE = "an unreadable answer is an empty text"

TEXT_METRICS = (
    Metric(
        "bleu.{field}",
        "BLEU-4 of {field}",
        "higher",
        "Of the whole corpus against one reference each; words by sacrebleu's 13a, smoothing exp; "
        f"{_UNREADABLE}.",
        _of_field(BLEU_COLUMNS),
        of_sums(corpus_bleu),
        counted="asked:{field}",
        unit="of 100",
        source="Papineni et al. 2002; sacrebleu; Chen & Cherry 2014, W14-3346, method 3",
        scale=(0.0, 100.0),
    ),
    Metric(
        "chrf.{field}",
        "chrF2 of {field}",
        "higher",
        f"Of the whole corpus, 1 to 6 characters without blanks; {_UNREADABLE}.",
        _of_field(CHRF_COLUMNS),
        of_sums(corpus_chrf),
        counted="asked:{field}",
        unit="of 100",
        source="Popovic 2015, W15-3049; sacrebleu",
        scale=(0.0, 100.0),
    ),
    Metric(
        "rouge_l.{field}",
        "ROUGE-L of {field}",
        "higher",
        "Mean F1 of the longest common subsequence of words, in small letters and without "
        f"stemming; {_UNREADABLE}.",
        ("rouge_l:{field}", "asked:{field}"),
        counted="asked:{field}",
        source="Lin 2004, W04-1013, section 3; rouge-score",
        scale=SHARE,
    ),
)
"""What is measured of every field that is text."""
