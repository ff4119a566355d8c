"""An analysis as it is handed out: one record, two views of it, and when a person should look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from stillhouse.tasks.songs.analysis import Analysis, has_words
from stillhouse.tasks.songs.criteria import Criteria
from stillhouse.tasks.songs.lexicon import band_of, themes_named
from stillhouse.tasks.songs.song_schema import EMOTIONS, SAFETIES, SENTIMENTS, known_word
from stillhouse.tasks.songs.unsupported import find_unsupported

View = Literal["verdict", "concern"]
_NO_WORDS = 50.0
"""The score of a song that says nothing: neither praised nor blamed."""


@dataclass(frozen=True, slots=True)
class SongAnalysis:
    """What is said of one song by stated criteria.

    Attributes:
        title: of the song.
        artist: likewise.
        criteria: whose these are, in words.
        verdict: one of four.
        concern_level: one of five, from the score where the model does not say it.
        score: from 0 to 100.
        themes: as they were named.
        sentiment: one of `SENTIMENTS`.
        safety: one of `SAFETIES`.
        emotion: one of `EMOTIONS`.
        scripture_references: as they were written, each with its book.
        rationale: why; empty where the model gives none.
        confidence: how likely the model finds its score and verdict, in [0, 1].
        review_reasons: why a person should look; empty where nobody need.
    """

    title: str
    artist: str
    criteria: str
    verdict: str
    concern_level: str
    score: float
    themes: tuple[str, ...]
    sentiment: str
    safety: str
    emotion: str
    scripture_references: tuple[str, ...]
    rationale: str
    confidence: float
    review_reasons: tuple[str, ...]

    @property
    def needs_review(self) -> bool:
        """Whether a person should look before anybody relies on it."""
        return bool(self.review_reasons)

    @property
    def biblical_themes(self) -> list[str]:
        """Those of the themes that the lexicon of biblical themes knows."""
        return [name for name in self.themes if themes_named(name)]

    @property
    def supporting_scripture(self) -> list[str]:
        """The references, by their name in the older view."""
        return list(self.scripture_references)

    def as_dict(self, view: View = "verdict") -> dict[str, Any]:
        """JSON values.

        Args:
            view: `verdict` has one of four verdicts with sentiment, safety and emotion; `concern`
                is the older one, with a level of concern, biblical themes and their scripture.

        Returns:
            The fields of the view, always with rationale, confidence and whether to review.
        """
        told: dict[str, Any] = {
            "verdict": {
                "verdict": self.verdict,
                "score": self.score,
                "themes": list(self.themes),
                "sentiment": self.sentiment,
                "safety": self.safety,
                "emotion": self.emotion,
                "scripture_references": list(self.scripture_references),
            },
            "concern": {
                "score": self.score,
                "concern_level": self.concern_level,
                "biblical_themes": self.biblical_themes,
                "supporting_scripture": self.supporting_scripture,
            },
        }[view]
        return told | {
            "rationale": self.rationale,
            "confidence": self.confidence,
            "needs_review": self.needs_review,
            "review_reasons": list(self.review_reasons),
            "criteria": self.criteria,
        }


@dataclass(frozen=True, slots=True)
class AskedSong:
    """A song as it is asked about.

    Attributes:
        title: may be empty.
        artist: may be empty.
        lyrics: empty for an instrumental.
        fields: these and whatever else is known of it, such as a genre, for places of the prompt.
    """

    title: str
    artist: str
    lyrics: str
    fields: Mapping[str, Any] = field(default_factory=dict)


def without_words(song: AskedSong, judged_by: Criteria) -> SongAnalysis:
    """The analysis of a song that says nothing; no model is asked, so that none invents."""
    return SongAnalysis(
        title=song.title,
        artist=song.artist,
        criteria=judged_by.name,
        verdict=band_of(_NO_WORDS, judged_by.verdicts),
        concern_level=band_of(_NO_WORDS, judged_by.concern_levels),
        score=_NO_WORDS,
        themes=(),
        sentiment="neutral",
        safety="safe",
        emotion="neutral",
        scripture_references=(),
        rationale="There are no words to judge.",
        confidence=0.0,
        review_reasons=("there are no words to judge",),
    )


def with_reasons(
    song: AskedSong, said: Analysis, confidence: float, judged_by: Criteria, *, num_cut: int = 0
) -> SongAnalysis:
    """What a model said of a song, with everything that a person should look at.

    Args:
        song: that was asked about.
        said: the model's answer, which has a score.
        confidence: in [0, 1].
        judged_by: bands, and from which confidence on nobody need look.
        num_cut: characters of the lyrics that the model did not see.

    Returns:
        The analysis; a verdict that is missing is that of the score.
    """
    score = _NO_WORDS if said.score is None else said.score
    due = band_of(score, judged_by.verdicts)
    return SongAnalysis(
        title=song.title,
        artist=song.artist,
        criteria=judged_by.name,
        verdict=said.verdict or due,
        concern_level=said.concern_level or band_of(score, judged_by.concern_levels),
        score=score,
        themes=said.themes,
        sentiment=known_word(said.sentiment, SENTIMENTS),
        safety=known_word(said.safety, SAFETIES),
        emotion=known_word(said.emotion, EMOTIONS),
        scripture_references=said.scripture,
        rationale=said.rationale,
        confidence=confidence,
        review_reasons=tuple(_reasons(song, said, due, confidence, judged_by, num_cut)),
    )


def _reasons(
    song: AskedSong, said: Analysis, due: str, confidence: float, judged_by: Criteria, num_cut: int
) -> Iterator[str]:
    if said.score is None:
        yield "the answer holds no score from 0 to 100"
    elif said.verdict and said.verdict != due:
        yield f"{said.verdict}, but a score of {said.score:g} is {due}"
    if not said.rationale:
        yield "no rationale is given"
    if confidence < judged_by.confidence_below:
        yield f"a confidence of {confidence:.2f} is below {judged_by.confidence_below:g}"
    if num_cut:
        yield f"{num_cut:,} characters of the lyrics were not read"
    if has_words(song.lyrics):
        yield from dict.fromkeys(one.what for one in find_unsupported(said, song.lyrics))
