"""Annotations of real songs, and faults that are put into them on purpose."""

import json
import random
import re
from dataclasses import dataclass, replace

from stillhouse.evals.scripture.find import read_references
from stillhouse.evals.scripture.references import is_valid, write_reference
from stillhouse.tasks.songs.annotation_faults import Song
from stillhouse.tasks.songs.criteria import CONCERN_LEVELS, VERDICTS
from stillhouse.tasks.songs.lexicon import band_of, lexicon, plain_text, themes_named
from stillhouse.tasks.songs.rules import judge

GENRES = ("hymn", "protest song", "rock", "country", "rap", "folk")


@dataclass(frozen=True)
class Annotated:
    """A song with an annotation, as an object."""

    song: Song
    told: dict

    @property
    def text(self):
        return json.dumps(self.told)


def hymns(shared_file):
    """147 hymns with topics and scripture that people gave to them."""
    lines = shared_file("songs/openhymnal_a.jsonl").read_text("utf-8").splitlines()
    for row in map(json.loads, lines):
        yield Song("\n".join(row["verses"]), row["title"], row["author"], "hymn"), row


def songs(shared_file):
    """Songs against slavery, in the order of two books."""
    for name in ("songs/liberty_minstrel_1844.txt", "songs/slaverys_passed_away.txt"):
        text = shared_file(name).read_text("utf-8").replace("\r\n", "\n")
        for block in re.split(r"\n{4,}", text):
            title, _, lyrics = block.strip().partition("\n")
            if len(lyrics.split()) > 40 and "Gutenberg" not in block:
                yield Song(lyrics.strip(), title.strip(" ."), "", "protest song")


def by_rules(song, scripture=()):
    """What the rules say of a song, with words of it as evidence."""
    ruled = judge(song.lyrics)
    told = json.loads(ruled.answer())
    spoken = [*ruled.devotion, *(word for words in ruled.concerns.values() for word in words)]
    lines = [line for line in song.lyrics.splitlines() if line.strip()]
    evidence = [line for line in lines if any(word in plain_text(line) for word in spoken)][:2]
    return Annotated(
        song,
        told
        | {
            "title": song.title,
            "genre": song.genre,
            "concern_flags": list(ruled.concerns),
            "scripture_references": list(scripture),
            "evidence": evidence,
        },
    )


def by_people(song, row, rng, most=5):
    """At most so many topics, and scripture as people gave them; the score errs by some points."""
    made = by_rules(song)
    topics = [topic.split(" [")[0] for topic in row["topics"].strip("{}").split("}, {")]
    places = [write_reference(one) for one in read_references(row["scripture"]) if is_valid(one)]
    score = max(0, min(100, round(made.told["score"] + rng.gauss(0, 8))))
    verdict = band_of(score, lexicon().verdicts)
    topics = topics if len(topics) <= most else rng.sample(topics, most)
    told = {"themes": topics, "scripture_references": places, "score": score, "verdict": verdict}
    return replace(made, told=made.told | told)


def _score(one, rng, _):
    return one.told | {"score": rng.choice([101, 140, 1000, -5, "95/100", None, "high"])}


def _verdict(one, rng, _):
    return one.told | {"verdict": rng.choice([v for v in VERDICTS if v != one.told["verdict"]])}


def _concern(one, rng, _):
    own = CONCERN_LEVELS.index(one.told["concern_level"])
    others = [level for n, level in enumerate(CONCERN_LEVELS) if abs(n - own) >= 2]
    return one.told | {"concern_level": rng.choice(others)}


def _theme_missing(one, _, __):
    """Without the theme that most words speak for, and those near to it; only of clear songs."""
    themes = judge(one.song.lyrics).themes
    if not themes:
        return None
    name, words = max(themes.items(), key=lambda item: len(item[1]))
    if len(words) < 4:
        return None
    known = lexicon().themes
    close = {name, *(other for other in known if name in known[other].near)}
    left = [t for t in one.told["themes"] if not close & {one.name for one in themes_named(t)}]
    return one.told | {"themes": left} if left != one.told["themes"] else None


def _all_themes(one, _, __):
    has_some = judge(one.song.lyrics).themes and one.told["themes"]
    return one.told | {"themes": []} if has_some else None


def _theme(one, rng, _):
    said = plain_text(one.song.lyrics)
    known = lexicon().themes
    wrong = [
        name for name, theme in known.items()
        if not any(known[other].words.find(said) for other in (name, *theme.near))
    ]  # fmt: skip
    return one.told | {"themes": [*one.told["themes"], rng.choice(wrong)]} if wrong else None


def _scripture(one, rng, _):
    wrong = rng.choice(
        ["Jude 2:5", "3 Corinthians 1:4", "John 3:99", "Psalm 151:2", "Hezekiah 4:11", "Mark 17:1",
         "Obadiah 3:1", "Romans 8:93", "Revelation 23:4", "2 Timothy 5:2"]
    )  # fmt: skip
    return one.told | {"scripture_references": [*one.told["scripture_references"], wrong]}


def _genre(one, rng, _):
    return one.told | {"genre": rng.choice([g for g in GENRES if g != one.song.genre])}


def _swapped(one, rng, others):
    return rng.choice([other for other in others if other.song.title != one.song.title]).told


def _swapped_bare(one, rng, others):
    """Another song's annotation that neither names its title nor quotes it."""
    told = dict(_swapped(one, rng, others))
    return {k: v for k, v in told.items() if k not in ("title", "evidence")}


def _unreadable(one, rng, _):
    text = one.text
    return rng.choice([text[:-1], text[: len(text) // 2], f"Sure! {text}", json.dumps([1])])


SEEDED = {
    "score": _score,
    "verdict": _verdict,
    "concern": _concern,
    "theme_missing": _theme_missing,
    "all themes gone": _all_themes,
    "theme": _theme,
    "scripture": _scripture,
    "genre": _genre,
    "other_song": _swapped,
    "unreadable": _unreadable,
}
"""Kind to what puts the fault in; None where a song has nothing to put it into."""

BARE = _swapped_bare


def elsewhere(one, rng, others):
    """Scripture that exists, of another song; nothing that is compared can see it."""
    given = [o.told["scripture_references"] for o in others if o.told["scripture_references"]]
    return one.told | {"scripture_references": rng.choice(given)}


def seeded(kind, put, annotated, seed=0):
    """The songs that a fault could be put into, with the annotation that has it."""
    rng = random.Random(f"{kind} {seed}")
    for one in annotated:
        told = put(one, rng, annotated)
        if told is not None:
            yield one.song, told if isinstance(told, str) else json.dumps(told)
