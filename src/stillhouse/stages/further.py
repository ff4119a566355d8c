"""Sets of measures that a recipe asks for by name: of the words of answers, and of songs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from stillhouse.core.rows import Example
from stillhouse.core.sampling import Sampling
from stillhouse.evals.diversity import score_words
from stillhouse.evals.scores import Column
from stillhouse.evals.self_bleu import score_self_bleu
from stillhouse.evals.styles import score_styles
from stillhouse.tasks.songs.measure import song_columns
from stillhouse.tasks.songs.rules import RuleBaseline

MEMORISED = "memorised"
"""The set that needs more than the answers: see learned.py."""
_LONGEST = 1 << 20
_Measure = Callable[[Sequence[Example], Sequence[str]], dict[str, Column]]


def _diversity(_: Sequence[Example], texts: Sequence[str]) -> dict[str, Column]:
    return score_words(texts) | score_self_bleu(texts) | score_styles(texts)


def _songs(examples: Sequence[Example], texts: Sequence[str]) -> dict[str, Column]:
    rules = [one.text for one in RuleBaseline().generate(examples, Sampling(_LONGEST))]
    return song_columns(examples, texts, baseline=rules)


_MEASURES: Mapping[str, _Measure] = {"diversity": _diversity, "songs": _songs}


def further_columns(
    names: Iterable[str], examples: Sequence[Example], texts: Sequence[str]
) -> dict[str, Column]:
    """The columns of the named sets.

    Args:
        names: of `evaluate.measures`.
        examples: that were asked.
        texts: the answers, in the same order.

    Returns:
        (N,) columns.
    """
    found: dict[str, Column] = {}
    for name in names:
        if name != MEMORISED:
            found |= _MEASURES[name](examples, texts)
    return found
