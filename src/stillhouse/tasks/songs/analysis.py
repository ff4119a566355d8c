"""What an answer about a song says: verdict, score, themes, scripture; and the song in a prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stillhouse.core.rows import Example
from stillhouse.evals.scripture.find import complete_entries
from stillhouse.tasks.songs.criteria import CONCERN_LEVELS, VERDICTS

_THEMES = ("themes", "biblical_themes")
_SCRIPTURE = ("scripture_references", "supporting_scripture")
_RATIONALE = ("rationale", "explanation", "reasoning")
_FREE = (*_RATIONALE, "summary", "analysis", "comment", "evidence")
_NONE = frozenset(["", "none", "none found", "n/a", "na", "null", "keine"])
"""What answers write where a list is empty."""

_LYRICS = re.compile(r"\blyrics\b[^:\n]{0,20}:[ \t]*\n*", re.IGNORECASE)
_MARKER = re.compile(r"[\[(](?:instrumental|verse|chorus|bridge|intro|outro|refrain|solo|no lyrics|"
                     r"strophe|instrumentalstück)[^\])]{0,60}[\])]", re.IGNORECASE)  # fmt: skip
_SYLLABLE = re.compile(
    r"(?:la|na|da|oh+|o+h|ah+|hey|hm+|mm+|uh+|yeah|doo|ooh+|instrumental)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Analysis:
    """One answer, read.

    Attributes:
        verdict: one of `VERDICTS`; empty when the answer has none of them.
        score: from 0 to 100; None when the answer has none in this range.
        themes: as they were named.
        scripture: entries as they were written, each with the name of its book.
        concern_level: one of `CONCERN_LEVELS`; empty when the answer has none of them.
        sentiment: in small letters.
        safety: in small letters.
        emotion: in small letters.
        rationale: why, in its own words.
        free_text: all that it explains in sentences, the rationale among it.
        verified: whether the song is known to be Christian; None where it is not said.
    """

    verdict: str
    score: float | None
    themes: tuple[str, ...]
    scripture: tuple[str, ...]
    concern_level: str = ""
    sentiment: str = ""
    safety: str = ""
    emotion: str = ""
    rationale: str = ""
    free_text: str = ""
    verified: bool | None = None


def read_analysis(text: str) -> Analysis | None:
    """The analysis that an answer holds.

    Args:
        text: a JSON object; `themes` may be called `biblical_themes`, and `scripture_references`
            may be called `supporting_scripture`.

    Returns:
        None for an answer that is no JSON object.
    """
    try:
        told = json.loads(text)
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    verified = told.get("verified_christian")
    return Analysis(
        verdict=_one_of(told.get("verdict"), VERDICTS),
        score=_score(told.get("score")),
        themes=_strings(told, _THEMES),
        scripture=tuple(complete_entries(_strings(told, _SCRIPTURE))),
        concern_level=_one_of(told.get("concern_level"), CONCERN_LEVELS),
        sentiment=_small(told.get("sentiment")),
        safety=_small(told.get("safety")),
        emotion=_small(told.get("emotion")),
        rationale="\n".join(_strings(told, _RATIONALE)),
        free_text="\n".join(_strings(told, _FREE)),
        verified=verified if isinstance(verified, bool) else None,
    )


def _one_of(value: object, names: tuple[str, ...]) -> str:
    said = str(value).casefold().replace(" ", "_")
    return next((name for name in names if name.casefold().replace(" ", "_") == said), "")


def _small(value: object) -> str:
    return value.strip().casefold() if isinstance(value, str) else ""


def _score(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        return None
    return float(value)


def _strings(told: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...]:
    found: list[str] = []
    for name in names:
        value = told.get(name)
        values = value if isinstance(value, list) else [value]
        found += [item for item in values if isinstance(item, str) and _says_something(item)]
    return tuple(found)


def _says_something(item: str) -> bool:
    return item.strip().casefold().strip(".-") not in _NONE


def lyrics_of(example: Example) -> str:
    """The lyrics that an example asks about.

    Args:
        example: its last user turn holds them behind a line or a word such as `Lyrics:`.

    Returns:
        What stands behind that; the whole turn when nothing announces lyrics.
    """
    asked = [turn.content for turn in example.prompt if turn.role == "user"][-1]
    announced = _LYRICS.search(asked)
    return asked[announced.end() :] if announced else asked


def has_words(lyrics: str) -> bool:
    """Whether lyrics say anything: more than headings, markers and syllables such as "la la"."""
    spoken = re.findall(r"[^\W\d_]+", _MARKER.sub(" ", lyrics))
    return any(not _SYLLABLE.fullmatch(word) for word in spoken)
