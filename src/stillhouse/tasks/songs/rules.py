"""The transparent baseline: a song judged by counting the words of a list, with every word shown.

It understands nothing: a metaphor is taken at its word. That is its use: whoever cannot beat it
has learned no more than words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stillhouse.core.rows import Completion, Example
from stillhouse.core.sampling import Sampling
from stillhouse.evals.scripture.find import find_references
from stillhouse.evals.scripture.references import is_valid, write_reference
from stillhouse.tasks.songs.analysis import has_words, lyrics_of
from stillhouse.tasks.songs.lexicon import Pattern, band_of, lexicon, plain_text

_NEUTRAL = 50.0  # assumption: a song without a word of either kind is neither praised nor blamed
_MOST_DEVOTION, _MOST_CONCERN = 50.0, 60.0
_STRONG = 15.0
_ROMANCE_SHARE = 0.25  # assumption: "my angel" and "heaven" in a love song say little of faith
_FEWEST_WORDS = 2
"""Different words that a theme needs, so that one word of a long song is none."""
_SHORT = 30
"""Fewer words than these are a line: there one word tells as much as two do in a song.

assumption: a stanza of four lines has about as many.
"""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the rules say of one song, with the words that made them say so.

    Attributes:
        score: from 0 to 100.
        verdict: from the score.
        concern_level: from the points of `concerns`.
        safety: from the same points.
        themes: to the words that speak for each.
        devotion: to the points of each word.
        concerns: kind to its words.
        sentiment: positive, negative, mixed or neutral.
        emotion: the one with most words; neutral for none.
        scripture: references that the lyrics name themselves.
    """

    score: int
    verdict: str
    concern_level: str
    safety: str
    themes: Mapping[str, list[str]]
    devotion: Mapping[str, float]
    concerns: Mapping[str, list[str]]
    sentiment: str
    emotion: str
    scripture: tuple[str, ...]

    def answer(self) -> str:
        """The answer as a model would give it: one JSON object."""
        told = {
            "verdict": self.verdict,
            "score": self.score,
            "themes": list(self.themes),
            "sentiment": self.sentiment,
            "safety": self.safety,
            "emotion": self.emotion,
            "concern_level": self.concern_level,
            "scripture_references": list(self.scripture),
        }
        return json.dumps(told, ensure_ascii=False)


def judge(lyrics: str) -> Judgement:
    """The judgement of the rules on one song.

    Args:
        lyrics: of any length, empty for an instrumental.

    Returns:
        50 points, plus those of devotion (twice in a line of fewer than 30 words, a quarter in a
        love song that names neither Jesus nor his titles), minus those of concerns. Devotion that
        is denied counts for nothing.
    """
    text = plain_text(lyrics) if has_words(lyrics) else ""
    is_line = text.count(" ") + 1 < _SHORT
    known = lexicon()
    devotion = _devotion(text)
    concerns = {name: kind.words.find(text) for name, kind in known.concerns.items()}
    points = sum(known.concerns[name].points * len(found) for name, found in concerns.items())
    points = min(_MOST_CONCERN, points)
    gained = sum(devotion.values()) * (2.0 if is_line else 1.0)
    score = min(100, max(0, round(_NEUTRAL + min(_MOST_DEVOTION, gained) - points)))
    return Judgement(
        score=score,
        verdict=band_of(score, known.verdicts),
        concern_level=band_of(points, known.concern_levels),
        safety=band_of(points, known.safety),
        themes=_themes(text, 1 if is_line else _FEWEST_WORDS) if devotion else {},
        devotion=devotion,
        concerns={name: found for name, found in concerns.items() if found},
        sentiment=_sentiment(text),
        emotion=_most(text, known.emotions),
        scripture=_scripture(lyrics),
    )


def _devotion(text: str) -> dict[str, float]:
    known = lexicon()
    found: dict[str, float] = {}
    for points, words in known.devotion.items():
        for word in words.affirmed(text):
            found.setdefault(word, points)
    is_strong = any(points >= _STRONG for points in found.values())
    if found and not is_strong and known.romance.find(text):
        return {word: points * _ROMANCE_SHARE for word, points in found.items()}
    return found


def _themes(text: str, fewest: int) -> dict[str, list[str]]:
    found = {name: theme.words.affirmed(text) for name, theme in lexicon().themes.items()}
    return {name: words for name, words in found.items() if len(words) >= fewest}


def _sentiment(text: str) -> str:
    counts = {name: len(words.affirmed(text)) for name, words in lexicon().sentiment.items()}
    good, bad = counts["positive"], counts["negative"]
    if good == bad:
        return "mixed" if good else "neutral"
    if min(good, bad) * 2 > max(good, bad):
        return "mixed"
    return "positive" if good > bad else "negative"


def _most(text: str, kinds: Mapping[str, Pattern]) -> str:
    counts = {name: len(words.affirmed(text)) for name, words in kinds.items()}
    name, count = max(counts.items(), key=lambda pair: pair[1])
    return name if count else "neutral"


def _scripture(lyrics: str) -> tuple[str, ...]:
    found = [write_reference(one) for one in find_references(lyrics) if is_valid(one)]
    return tuple(dict.fromkeys(found))


class RuleBaseline:
    """The rules as a candidate that can be measured beside models; a `Generator`."""

    def generate(self, examples: Sequence[Example], sampling: Sampling) -> Iterator[Completion]:
        """One answer an example, in their order.

        Args:
            examples: their last user turn holds the lyrics.
            sampling: only its number of tokens is looked at, one a word.

        Yields:
            Answers that end with `stop`, or with `length` where they do not fit.
        """
        for example in examples:
            text = judge(lyrics_of(example)).answer()
            words = text.split(" ")
            is_cut = len(words) > sampling.max_new_tokens
            yield Completion(
                example_id=example.example_id,
                text=" ".join(words[: sampling.max_new_tokens]),
                finish="length" if is_cut else "stop",
                num_tokens=min(len(words), sampling.max_new_tokens),
                sample_index=sampling.sample_index,
            )
