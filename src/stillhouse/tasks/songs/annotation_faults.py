"""What is wrong with an annotation of a song, seen from the annotation, its row and its lyrics.

Letters and tables are compared, nothing is understood: an annotation without a fault may still be
a wrong one. A verse that exists and has nothing to do with the song is not seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from stillhouse.recipes.annotations import FAULTS
from stillhouse.tasks.songs.analysis import Analysis, read_analysis
from stillhouse.tasks.songs.criteria import CONCERN_LEVELS, VERDICTS
from stillhouse.tasks.songs.lexicon import band_of, lexicon, plain_text, themes_named
from stillhouse.tasks.songs.rules import Judgement, judge
from stillhouse.tasks.songs.unsupported import Unsupported, find_unsupported

_FLAGS = ("concern_flags", "flags", "concerns")
_QUOTES = ("evidence", "quotes")
_STRONG_WORDS = 4
"""Different words of one theme in a song of which an annotation must speak.

measured: tests/tasks/test_annotation_faults.py prints recall and false alarms beside it.
"""
_FEWEST_UNSUPPORTED = 2
_FAR = 50.0
"""Points between an annotation's score and that of the rules.

assumption: the rules err by less where they find words at all; a song that they see no word in
is not compared.
"""


@dataclass(frozen=True, slots=True)
class Song:
    """What a row says of a song beside its annotation; empty texts are not compared.

    Attributes:
        lyrics: as they were annotated.
        title: of the song.
        artist: who sings it.
        genre: that the row claims.
    """

    lyrics: str
    title: str = ""
    artist: str = ""
    genre: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        kind: one of `FAULTS`.
        what: what was seen, in words.
    """

    kind: str
    what: str


def find_faults(annotation: str, song: Song, *, scale: float = 100.0) -> list[Fault]:
    """The faults of an annotation, in the order of `FAULTS`.

    Args:
        annotation: a JSON object, as of `read_analysis`; it may have `concern_flags` (kinds of
            concern), `evidence` (words of the lyrics), `genre`, `title` and `artist`.
        song: that it is of.
        scale: the largest score.

    Returns:
        Empty where nothing is wrong that can be seen.
    """
    told = _object(annotation)
    if told is None:
        return [Fault("unreadable", "it is no JSON object")]
    score = told.get("score")
    if isinstance(score, int | float) and not isinstance(score, bool):
        told = {**told, "score": score * 100.0 / scale}
    analysis = read_analysis(json.dumps(told))
    assert analysis is not None
    unsupported = find_unsupported(analysis, song.lyrics)
    found = [
        *_score(analysis, score),
        *_verdict(analysis),
        *_concern(analysis, told),
        *_themes(analysis, song, unsupported),
        *(Fault("scripture", one.what) for one in unsupported if one.kind == "scripture"),
        *_genre(told, song),
        *_other_song(analysis, told, song, unsupported),
    ]
    return sorted(found, key=lambda fault: FAULTS.index(fault.kind))


@lru_cache(maxsize=512)
def _ruled(lyrics: str) -> Judgement:
    """What the rules say; remembered, because an annotation is often followed by its second."""
    return judge(lyrics)


def _object(text: str) -> dict[str, Any] | None:
    try:
        told = json.loads(text)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _score(analysis: Analysis, score: object) -> Iterator[Fault]:
    if analysis.score is None:
        yield Fault("score", f"the score {score!r} is none on the scale")


def _verdict(analysis: Analysis) -> Iterator[Fault]:
    if not analysis.verdict:
        yield Fault("verdict", f"there is no verdict; verdicts are {', '.join(VERDICTS)}")
    elif analysis.score is not None:
        due = band_of(analysis.score, lexicon().verdicts)
        if due != analysis.verdict:
            yield Fault(
                "verdict", f"{analysis.verdict}, but a score of {analysis.score:g} is {due}"
            )


def _concern(analysis: Analysis, told: Mapping[str, Any]) -> Iterator[Fault]:
    level = analysis.concern_level
    if not level:
        if "concern_level" in told:
            yield Fault("concern", f"{told['concern_level']!r} is no level of concern")
        return
    height = CONCERN_LEVELS.index(level)
    flags = next((told[name] for name in _FLAGS if isinstance(told.get(name), list)), None)
    if flags is not None and bool(flags) != bool(height):
        said = ", ".join(map(str, flags)) or "no flag"
        yield Fault("concern", f"a concern of {level} beside {said}")
    safety = str(told.get("safety", "")).casefold()
    if (safety == "safe" and height >= 3) or (safety == "unsafe" and height <= 1):
        yield Fault("concern", f"a concern of {level} in a song that is {safety}")
    is_best = analysis.verdict == VERDICTS[0] and height == len(CONCERN_LEVELS) - 1
    if is_best:
        yield Fault("concern", f"a concern of {level} in a song that is {analysis.verdict}")


def _themes(analysis: Analysis, song: Song, unsupported: list[Unsupported]) -> Iterator[Fault]:
    ruled = _ruled(song.lyrics)
    strong = {name: words for name, words in ruled.themes.items() if len(words) >= _STRONG_WORDS}
    named = {theme.name for name in analysis.themes for theme in themes_named(name)}
    near = {other for name in named for other in lexicon().themes[name].near}
    if ruled.themes and not analysis.themes:
        yield Fault("theme_missing", "no theme is named")
    elif strong:
        name, words = max(strong.items(), key=lambda item: len(item[1]))
        if name not in named | near:
            yield Fault("theme_missing", f"nothing of {name}, though it says {', '.join(words)}")
    themes = [one for one in unsupported if one.kind == "theme"]
    yield from (Fault("theme", one.what) for one in themes)


def _genre(told: Mapping[str, Any], song: Song) -> Iterator[Fault]:
    said = plain_text(str(told.get("genre") or ""))
    if said and song.genre and said != plain_text(song.genre):
        yield Fault("genre", f"{told['genre']!r}, but the row says {song.genre!r}")


def _other_song(
    analysis: Analysis, told: Mapping[str, Any], song: Song, unsupported: list[Unsupported]
) -> Iterator[Fault]:
    for name, known in (("title", song.title), ("artist", song.artist)):
        said = plain_text(str(told.get(name) or ""))
        if said and known and said != plain_text(known):
            yield Fault("other_song", f"it names the {name} {told[name]!r}, the row {known!r}")
    lyrics = plain_text(song.lyrics)
    for quote in _quotes(told):
        if plain_text(quote) not in lyrics:
            yield Fault("other_song", f"the lyrics do not say {quote!r}")
    themes = [one for one in unsupported if one.kind == "theme"]
    if len(themes) >= _FEWEST_UNSUPPORTED and 2 * len(themes) > len(analysis.themes):
        yield Fault("other_song", f"the lyrics speak for {len(analysis.themes) - len(themes)} of "
                                  f"{len(analysis.themes)} themes")  # fmt: skip
    ruled = _ruled(song.lyrics)
    speaks = bool(ruled.devotion or ruled.concerns)
    if speaks and analysis.score is not None and abs(analysis.score - ruled.score) >= _FAR:
        yield Fault("other_song", f"a score of {analysis.score:g}, the words alone {ruled.score}")


def _quotes(told: Mapping[str, Any]) -> Iterator[str]:
    for name in _QUOTES:
        value = told.get(name)
        if isinstance(value, list):
            yield from (item for item in value if isinstance(item, str) and item.strip())
