"""Answers about songs as score columns: errors by category, unsupported claims, improvement."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Example
from stillhouse.evals.christian import christian_columns
from stillhouse.evals.error_categories import error_columns
from stillhouse.evals.hallucination import hallucination_columns
from stillhouse.evals.improvement import improvement_columns
from stillhouse.evals.judged import HIGH, Judged
from stillhouse.evals.scores import Column
from stillhouse.evals.scripture.find import read_references
from stillhouse.evals.scripture.support import Verses
from stillhouse.tasks.songs.analysis import Analysis, lyrics_of, read_analysis
from stillhouse.tasks.songs.lexicon import plain_text, themes_named
from stillhouse.tasks.songs.unsupported import find_unjudged, find_unsupported

_NOTHING = Analysis("", None, (), ())


def song_columns(
    examples: Sequence[Example],
    texts: Sequence[str],
    *,
    baseline: Sequence[str] | None = None,
    verses: Verses | None = None,
) -> dict[str, Column]:
    """All score columns of a candidate's answers about songs.

    Args:
        examples: with references: analyses with a score from 0 to 100, and `verified_christian`
            where that is known; else a score of 95 or more says so.
        texts: the candidate's answers, in the same order.
        baseline: those of the system that it is compared with; without them no improvement.
        verses: the text of verses, for quotations.

    Returns:
        Columns of unsupported claims, error categories, Christian accuracy, and improvement on
        songs that are not known to be Christian.

    Raises:
        InputError: the references' scores go from 0 to 1.
    """
    lyrics = [lyrics_of(example) for example in examples]
    known = [read_analysis(item.reference or item.answer or "") or _NOTHING for item in examples]
    _refuse_fractions(known)
    said = [read_analysis(text) or _NOTHING for text in texts]
    claims = [
        {claim.kind for claim in find_unsupported(one, words, verses)}
        for one, words in zip(said, lyrics, strict=True)
    ]
    own = [_judged(one, kinds) for one, kinds in zip(said, claims, strict=True)]
    truth = [_judged(one, ()) for one in known]
    columns = {
        **hallucination_columns(claims, [bool(find_unjudged(one)) for one in said]),
        **error_columns(own, truth),
        **christian_columns(own, [_is_christian(one) for one in known]),
    }
    if baseline is not None:
        others = [_judged(read_analysis(text) or _NOTHING, ()) for text in baseline]
        # Of a sacred song christian_accuracy tells.
        secular = np.array([not _is_christian(one) for one in known], dtype=np.float64)
        compared = improvement_columns(own, others, truth)
        columns |= {name: values * secular for name, values in compared.items()}
    return columns


def _refuse_fractions(known: Sequence[Analysis]) -> None:
    scores = [one.score for one in known if one.score is not None]
    if scores and max(scores) <= 1.0 and any(0.0 < score < 1.0 for score in scores):
        raise InputError(
            f"the references' scores go from {min(scores):g} to {max(scores):g}, as parts of 1",
            "write scores from 0 to 100: on a scale of 0 to 1 every two would differ by less than "
            "the points that count as an error",
        )


def _judged(analysis: Analysis, kinds: Collection[str]) -> Judged:
    return Judged(
        score=analysis.score,
        verdict=analysis.verdict,
        themes=canonical_themes(analysis.themes),
        passages=frozenset(
            ".".join(place.osis().split(".")[:2])
            for entry in analysis.scripture
            for reference in read_references(entry)
            for place in (reference.first, reference.last)
            if place.book
        ),
        is_supported=not {"scripture", "quote"}.intersection(kinds),
    )


def canonical_themes(names: Sequence[str]) -> frozenset[str]:
    """Themes as the lexicon calls them, so that two names of one theme are equal.

    Args:
        names: as analyses wrote them.

    Returns:
        A theme that the lexicon does not know keeps its own name, in small letters.
    """
    found: set[str] = set()
    for name in names:
        themes = themes_named(name)
        found |= {theme.name for theme in themes} or {plain_text(name)}
    return frozenset(found)


def _is_christian(known: Analysis) -> bool | None:
    if known.verified is not None:
        return known.verified
    return None if known.score is None else known.score >= HIGH
