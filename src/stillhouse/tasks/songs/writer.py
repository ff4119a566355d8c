"""The lines that sample songs are made of, and what their writer meant by each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from random import Random
from typing import Any

from ruamel.yaml import YAML

from stillhouse.tasks.songs.lexicon import band_of, lexicon

_MAIN_LINES = 3
_SECOND_PROB = 0.4  # assumption: two songs in five have a second theme, the rest a line of filling
_NEUTRAL = 50


@dataclass(frozen=True, slots=True)
class Meaning:
    """What lines of one theme mean.

    Attributes:
        name: of the theme.
        tier: praise, seeking, neutral, troubled or harmful.
        points: of a line, for the score.
        concern: points of concern of a line.
        sentiment: of a song that is mainly about it.
        emotion: of such a song.
        scripture: that it rests on; empty for none.
        lines: to choose from.
    """

    name: str
    tier: str
    points: int
    concern: int
    sentiment: str
    emotion: str
    scripture: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """What `lines.yaml` says, ready for use.

    Attributes:
        themes: by tier.
        shares: tier to its share of songs.
        genres: to lines that say nothing.
        words: of titles and artists: `titles`, `artists` to first and second words.
    """

    themes: Mapping[str, tuple[Meaning, ...]]
    shares: Mapping[str, int]
    genres: Mapping[str, tuple[str, ...]]
    words: Mapping[str, Mapping[str, list[str]]]


@dataclass(frozen=True, slots=True)
class SampleSong:
    """A song and what its writer meant.

    Attributes:
        title: of two words.
        artist: of two words; nobody's name.
        genre: one of `Lines.genres`.
        lyrics: four lines.
        meant: an analysis, its fields in the order in which answers have them.
    """

    title: str
    artist: str
    genre: str
    lyrics: str
    meant: dict[str, Any]


@cache
def sample_lines() -> Lines:
    """The lines of this package."""
    text = (resources.files("stillhouse.tasks.songs") / "lines.yaml").read_text("utf-8")
    told: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    themes: dict[str, list[Meaning]] = {tier: [] for tier in told["tiers"]}
    for name, row in told["themes"].items():
        tier = row["tier"]
        themes[tier].append(
            Meaning(
                name=name,
                tier=tier,
                points=told["tiers"][tier],
                concern=told["concern"].get(tier, 0),
                sentiment=row["sentiment"],
                emotion=row["emotion"],
                scripture=row.get("scripture", ""),
                lines=tuple(row["lines"]),
            )
        )
    return Lines(
        themes={tier: tuple(rows) for tier, rows in themes.items()},
        shares=told["shares"],
        genres={name: tuple(lines) for name, lines in told["genres"].items()},
        words={kind: told[kind] for kind in ("titles", "artists")},
    )


def write_song(random: Random) -> SampleSong:
    """A song drawn from the lines of this package.

    Args:
        random: that draws; it is moved on.

    Returns:
        Three lines of one theme, and one of another or of the genre, at any place but the first.
    """
    known = sample_lines()
    main = _draw_theme(random)
    genre = random.choice(tuple(known.genres))
    second = _draw_theme(random) if random.random() < _SECOND_PROB else None
    if second and second.tier == "harmful" != main.tier:
        second = None  # one line of a murder makes another song of a hymn
    lines = random.sample(main.lines, _MAIN_LINES)
    other = random.choice(
        [line for line in second.lines if line not in lines] if second else known.genres[genre]
    )
    lines.insert(random.randint(1, _MAIN_LINES), other)
    return SampleSong(
        title=_two_words(known.words["titles"], random),
        artist=_two_words(known.words["artists"], random),
        genre=genre,
        lyrics="\n".join(lines),
        meant=_analyse(main, second),
    )


def _draw_theme(random: Random) -> Meaning:
    known = sample_lines()
    tier = random.choices(tuple(known.shares), tuple(known.shares.values()))[0]
    return random.choice(known.themes[tier])


def _two_words(words: Mapping[str, list[str]], random: Random) -> str:
    return f"{random.choice(words['first'])} {random.choice(words['second'])}"


def _analyse(main: Meaning, second: Meaning | None) -> dict[str, Any]:
    """The analysis of a song of three lines of one theme, and one of another."""
    lines = {main: _MAIN_LINES}
    if second:
        lines[second] = lines.get(second, 0) + 1
    points = sum(theme.points * count for theme, count in lines.items())
    concern = sum(theme.concern * count for theme, count in lines.items())
    score = min(100, max(0, _NEUTRAL + points))
    bands = lexicon()
    return {
        "themes": [theme.name for theme in lines],
        "sentiment": main.sentiment,
        "safety": band_of(concern, bands.safety),
        "emotion": main.emotion,
        "scripture_references": [theme.scripture for theme in lines if theme.scripture],
        "rationale": ", ".join(_counted(theme.name, count) for theme, count in lines.items()),
        "score": score,
        "verdict": band_of(score, bands.verdicts),
    }


def _counted(name: str, count: int) -> str:
    return f"{count} line{'s' if count > 1 else ''} of {name}"
