"""What BLEU, chrF and ROUGE-L need to know of each answer and its reference."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from rapidfuzz.distance import LCSseq
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.helpers import extract_all_char_ngrams

from stillhouse.evals.scores import Column
from stillhouse.evals.texts import BLEU_COLUMNS, CHAR_ORDERS, CHRF_COLUMNS
from stillhouse.recipes.answers import AnswerKind

# Any alphabet, where rouge-score knows a to z alone; equal to it on English.
_WORD = re.compile(r"[^\W_]+")


def read_text(_kind: AnswerKind, value: Any) -> str | None:
    """The text that a JSON value is; None where it is none."""
    return value if isinstance(value, str) else None


def count_texts(
    _kind: AnswerKind, said: Sequence[str | None], wanted: Sequence[str | None]
) -> dict[str, Column]:
    """Columns of one field whose answers are text.

    Args:
        _kind: the field's.
        said: the candidate's; None where unreadable, which is an empty text.
        wanted: the references; None where missing, which leaves every column 0.

    Returns:
        `BLEU_COLUMNS` and `CHRF_COLUMNS`: (N,) counts. `rouge_l`: (N,) F1 in [0, 1].
    """
    bleu = BLEU()
    rows = [
        [0.0] * (len(BLEU_COLUMNS) + len(CHRF_COLUMNS) + 1)
        if want is None
        else [
            *_count_words(bleu, got or "", want),
            *_count_characters(got or "", want),
            rouge_l(got or "", want),
        ]
        for got, want in zip(said, wanted, strict=True)
    ]
    names = (*BLEU_COLUMNS, *CHRF_COLUMNS, "rouge_l")
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(names))
    return {name: table[:, place].copy() for place, name in enumerate(names)}


def _count_words(bleu: BLEU, got: str, want: str) -> list[float]:
    found = bleu.corpus_score([got], [[want]])
    return [found.sys_len, found.ref_len, *found.counts, *found.totals]


def _count_characters(got: str, want: str) -> list[float]:
    said, wanted = (extract_all_char_ngrams(text, CHAR_ORDERS) for text in (got, want))
    right = [
        sum(min(count, one[gram]) for gram, count in other.items())
        for one, other in zip(said, wanted, strict=True)
    ]
    # As sacrebleu: n-grams of an order that the reference is too short for are not counted.
    counted = [one.total() if other else 0 for one, other in zip(said, wanted, strict=True)]
    return [*counted, *(one.total() for one in wanted), *right]


def rouge_l(got: str, want: str) -> float:
    """F1 of the longest common subsequence of words.

    Args:
        got: the answer.
        want: its reference.

    Returns:
        In [0, 1]; 0 where either has no word.

    Source: Lin 2004, W04-1013, section 3.1.
    """
    said, wanted = (_WORD.findall(text.lower()) for text in (got, want))
    common = LCSseq.similarity(said, wanted)
    return 2.0 * common / (len(said) + len(wanted)) if common else 0.0
