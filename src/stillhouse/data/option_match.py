"""Which option an answer means: by its label, by its text, or by a text that is near enough."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz

from stillhouse.data.choices import Option
from stillhouse.data.meaning import claims_of

Tier = Literal["label", "exact", "normalised", "fuzzy", "similar"]
Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to (N, H) vectors of length 1."""

FUZZY_AT_LEAST, FUZZY_LEAD = 80.0, 5.0
"""measured: of 3,004 real answers with one letter left out 1 means another option then, and 5 of
those with a word left out; an answer that is nearly as near to another option is left open."""

SIMILAR_AT_LEAST, SIMILAR_LEAD = 0.5, 0.05
"""assumption: cosines of sentence vectors; below, unrelated texts are found."""

_SAID = re.compile(
    r"^(?:the\s+)?(?:(?:correct|right|best)\s+)?(?:answer|option|choice)?\s*(?:is|:|=)?\s*"
    r"[(\[]?(?P<label>[A-Za-z]|\d{1,2})(?P<closed>[)\].:]*)(?P<rest>\s.*)?$",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Match:
    """The option that an answer means.

    Attributes:
        place: of the option, from 0.
        tier: what told so.
        score: 1.0, or how near the texts are in [0, 1].
    """

    place: int
    tier: Tier
    score: float = 1.0


def match_option(
    answer: str, options: Sequence[Option], embed: Embed | None = None
) -> Match | None:
    """The option that an answer means, by the first tier that tells exactly one.

    Args:
        answer: a label (`B`, `(b)`, `The answer is B.`), a label with its text, or a text.
        options: at least two.
        embed: vectors of texts, for answers in other words; without it such answers stay open.

    Returns:
        None where no tier tells one option, or an answer is the label of one and the text of
        another.
    """
    texts = [option.text for option in options]
    said = _SAID.match(answer.strip())
    labelled = _by_label(said, options)
    for tier, form in _FORMS:
        same = [place for place, text in enumerate(texts) if form(text) == form(answer)]
        if labelled is not None and same not in ([], [labelled]):
            return None
        if same:  # two options of one text mean the same answer
            return Match(same[0], tier)
    if labelled is not None:
        return Match(labelled, "label")
    if said and said["closed"]:  # a label with the text of no option, or of another
        return None
    possible = [p for p, text in enumerate(texts) if claims_of(text) == claims_of(answer)]
    return _fuzzy(answer, texts, possible) or _similar(answer, texts, possible, embed)


def _by_label(said: re.Match[str] | None, options: Sequence[Option]) -> int | None:
    """The option whose label is said; with a text behind it, only if that is the option's."""
    labels = [option.label.lower() for option in options]
    if said is None or said["label"].lower() not in labels:
        return None
    place, rest = labels.index(said["label"].lower()), (said["rest"] or "").strip()
    if not rest:
        return place
    is_its_text = _normalised(rest) == _normalised(options[place].text)
    return place if is_its_text and said["closed"] else None


def _normalised(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(c if c.isalnum() or c in "+-−*/=<>%$€£.^_{}\\" else " " for c in folded)
    return " ".join(kept.split()).strip(" .")


_FORMS: tuple[tuple[Tier, Callable[[str], str]], ...] = (
    ("exact", str.strip),
    ("normalised", _normalised),
)


def _fuzzy(answer: str, texts: Sequence[str], possible: Sequence[int]) -> Match | None:
    wanted = _normalised(answer)
    scores = {place: fuzz.ratio(wanted, _normalised(texts[place])) for place in possible}
    best = _leader(scores, FUZZY_AT_LEAST, FUZZY_LEAD)
    return None if best is None else Match(best, "fuzzy", scores[best] / 100)


def _similar(
    answer: str, texts: Sequence[str], possible: Sequence[int], embed: Embed | None
) -> Match | None:
    if embed is None or not possible:
        return None
    vectors = embed([answer, *(texts[place] for place in possible)])
    cosines = dict(zip(possible, (vectors[1:] @ vectors[0]).tolist(), strict=True))
    best = _leader(cosines, SIMILAR_AT_LEAST, SIMILAR_LEAD)
    return None if best is None else Match(best, "similar", cosines[best])


def _leader(scores: dict[int, float], at_least: float, lead: float) -> int | None:
    """The place of the highest score, if it is high enough and no other is near it."""
    ordered = sorted(scores, key=lambda place: -scores[place])
    if not ordered or scores[ordered[0]] < at_least:
        return None
    if len(ordered) > 1 and scores[ordered[0]] - scores[ordered[1]] < lead:
        return None
    return ordered[0]
