"""Words of a song that speak for a theme, for devotion or for a concern, from a readable list."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from ruamel.yaml import YAML

from stillhouse.tasks.songs.criteria import criteria

_BEFORE = 3  # assumption: a negation further away belongs to something else


def plain_text(text: str) -> str:
    """Text as the lexicon writes it: small letters, no accents, no signs, one space."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    folded = "".join(sign for sign in folded if not unicodedata.combining(sign))
    folded = re.sub(r"['’`]s\b", "", folded)
    return " ".join(re.findall(r"\w+", re.sub(r"['’`]", "", folded)))


class Pattern:
    """A list of words and phrases, found in plain text.

    Args:
        words: as `lexicon.yaml` writes them; a star stands for any letters.
    """

    def __init__(self, words: Iterable[str]) -> None:
        parts = sorted((re.escape(str(word)).replace(r"\*", r"\w*") for word in words), key=len)
        self._pattern = re.compile(rf"\b(?:{'|'.join(reversed(parts))})\b")

    def find(self, text: str) -> list[str]:
        """The different words found in plain text, in their order."""
        return list(dict.fromkeys(self._pattern.findall(text)))

    def affirmed(self, text: str) -> list[str]:
        """The different words found that no negation stands shortly before."""
        negations = lexicon().negations
        found = []
        for match in self._pattern.finditer(text):
            # The words before lie within this many characters, unless they are very long.
            before = text[max(0, match.start() - 60) : match.start()].split()[-_BEFORE:]
            if not negations.intersection(before):
                found.append(match[0])
        return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Theme:
    """One theme.

    Attributes:
        name: ours.
        called: words by which an analysis may name it, the name among them; plain text.
        near: themes whose words support it too.
        words: what speaks for it in lyrics.
    """

    name: str
    called: frozenset[str]
    near: tuple[str, ...]
    words: Pattern


@dataclass(frozen=True, slots=True)
class Concern:
    """One kind of objectionable content.

    Attributes:
        points: for each different word.
        words: that show it.
    """

    points: float
    words: Pattern


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What `lexicon.yaml` says, ready for use.

    Attributes:
        themes: by name.
        devotion: points to words.
        concerns: by kind.
        romance: words of love songs.
        negations: words that deny what follows.
        sentiment: `positive` and `negative` words.
        emotions: words by emotion.
        verdicts: lowest score to verdict, highest first; from `criteria.yaml`.
        concern_levels: fewest points to level, highest first.
        safety: fewest points to word, highest first.
        names: of persons in the Bible, with how an analysis says them, and with the words that
            stand for them in lyrics.
    """

    themes: Mapping[str, Theme]
    devotion: Mapping[float, Pattern]
    concerns: Mapping[str, Concern]
    romance: Pattern
    negations: frozenset[str]
    sentiment: Mapping[str, Pattern]
    emotions: Mapping[str, Pattern]
    verdicts: Mapping[float, str]
    concern_levels: Mapping[float, str]
    safety: Mapping[float, str]
    names: Mapping[str, tuple[Pattern, Pattern]]


@cache
def lexicon() -> Lexicon:
    """The lexicon of this package."""
    text = (resources.files("stillhouse.tasks.songs") / "lexicon.yaml").read_text("utf-8")
    told: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return Lexicon(
        themes={
            name: Theme(
                name,
                frozenset([name, *row["called"]]),
                tuple(row["near"]),
                Pattern(row["words"]),
            )
            for name, row in told["themes"].items()
        },
        devotion={float(points): Pattern(words) for points, words in told["devotion"].items()},
        concerns={
            name: Concern(float(row["points"]), Pattern(row["words"]))
            for name, row in told["concerns"].items()
        },
        romance=Pattern(told["romance"]),
        negations=frozenset(told["negations"]),
        sentiment=_patterns(told["sentiment"]),
        emotions=_patterns(told["emotions"]),
        verdicts=criteria().verdicts,
        concern_levels=_bands(told["concern_levels"]),
        safety=_bands(told["safety"]),
        names={
            name: (Pattern(row["said"]), Pattern(row["words"]))
            for name, row in told["names"].items()
        },
    )


def _patterns(told: Mapping[str, list[str]]) -> dict[str, Pattern]:
    return {name: Pattern(words) for name, words in told.items()}


def _bands(told: Mapping[int, str]) -> dict[float, str]:
    return {float(low): word for low, word in sorted(told.items(), reverse=True)}


def band_of(value: float, bands: Mapping[float, str]) -> str:
    """The word for a value: that of the highest bound that it reaches.

    Args:
        value: at least the lowest bound.
        bands: lowest value to word, highest first.

    Returns:
        One of the words.
    """
    return next((word for low, word in bands.items() if value >= low), list(bands.values())[-1])


def evidence_for(theme: Theme, text: str) -> list[str]:
    """The words of plain lyrics that support a theme, denied or not; its own first."""
    own = theme.words.find(text)
    return own or [word for name in theme.near for word in lexicon().themes[name].words.find(text)]


def themes_named(name: str) -> list[Theme]:
    """The themes that an analysis may mean by a name, such as `God's grace`; empty for none.

    Args:
        name: as an analysis wrote it.

    Returns:
        Those of which the name contains a word or phrase by which they are called.
    """
    said = f" {plain_text(name)} "
    return [
        theme
        for theme in lexicon().themes.values()
        if any(f" {word} " in said for word in theme.called)
    ]
