"""Real verse behind stand-ins of song providers, and what people said of it for an annotator.

Each piece of a hymn or of other verse is served as a song of its own; its artist names the work
that it is of. What the annotator says are the labels of `verse_rows`, some wrong by a seed.
"""

import json
import random
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

from ruamel.yaml import YAML
from tests.data.collect.servers import Behaviour as Manner
from tests.data.collect.servers import SongServer
from tests.data.collect.songs_on_trial import TrueSong
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import Behaviour
from tests.tasks.verse_rows import verse_rows

WORDS = (20, 40)
"""Fewer are no song to a collection; a tiny model reads few more."""
GENRES = {"hymnal": "christian", "abolition": "folk", "poems": "world"}
SHARES = {
    "hymnal": ("curated", "archive", "archive", "archive", "lrclib"),
    "abolition": ("lrclib", "lrclib", "genius", "musixmatch"),
    "poems": ("musixmatch",),
}
"""Who has the works of a book, in turn."""
SCORES = {"RECOMMENDED": 0.9, "ACCEPTABLE": 0.6}
"""On the scale that these annotators use; what a label says, and no more."""
WRONG, TORN, HOPELESS = 0.05, 0.04, 0.01
FAULTS = ("rate_limited_soon", "server_error", "truncated_json", "reset")
BREAKS = {5: "500", 9: "cut", 14: "500", 20: "empty"}
"""Which requests fail at a provider of songs, and how."""


@dataclass
class Verse:
    """All that is served.

    Attributes:
        songs: of each source.
        said: title -> what people say, with a score on a scale of 1.
        works: title -> of which work.
    """

    songs: dict = field(default_factory=dict)
    said: dict = field(default_factory=dict)
    works: dict = field(default_factory=dict)


def real_verse(shared_file):
    """The pieces, dealt out to sources work by work."""
    verse, turns, numbers = Verse(), Counter(), Counter()
    source_of = {}
    for place, row in enumerate(verse_rows(shared_file, WORDS)):
        book, work = row["book"], row["song"]
        if work not in source_of:
            source_of[work] = SHARES[book][turns[book] % len(SHARES[book])]
            turns[book] += 1
        numbers[work] += 1
        title = f"{work}, number {numbers[work]}"
        song = TrueSong(place, title, f"Writer of {work}", GENRES[book], row["lyrics"])
        verse.songs.setdefault(source_of[work], []).append(song)
        told = row["analysis"]
        verse.said[title] = told | {"score": SCORES[told["verdict"]]}
        verse.works[title] = work
    return verse


@contextmanager
def providers(verse):
    """A server for each source that is asked, with faults of its own; by the source's name."""
    has = dict(verse.songs)
    # What Genius finds has its lyrics at LRCLIB, and a hymn that two have is kept once.
    has["lrclib"] = [*has["lrclib"], *has["genius"], *has["archive"][:30]]
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(SongServer(has[name], Manner(faults=dict(BREAKS))))
            for name in ("archive", "lrclib", "genius", "musixmatch")
        }


def queries(songs, more=()):
    """A query for each work."""
    names = dict.fromkeys(one.artist for one in [*songs, *more])
    return "".join(f"{line}\n" for line in ("words", *(json.dumps(name.lower()) for name in names)))


def wrong(title, chance, why):
    """Whether a seed says so of a title."""
    return random.Random(f"{why} {title}").random() < chance


def annotation_of(verse, title):
    """What the annotator thinks: the label, or that of the other side."""
    said = verse.said[title]
    if not wrong(title, WRONG, "wrong"):
        return said
    other = next(name for name in SCORES if name != said["verdict"])
    return said | {"verdict": other, "score": SCORES[other]}


@contextmanager
def annotator(verse):
    """A model behind an API, with faults of its line and faults in what it writes."""
    after = SimpleNamespace(calls=0, do=lambda: None)

    def say(body, number):
        if number == after.calls:
            after.do()
        first = next(one for one in body["messages"] if one["role"] == "user")
        title = json.loads(first["content"])["of"]["title"]
        text = json.dumps(annotation_of(verse, title))
        is_mended = len(body["messages"]) > 2
        is_torn = wrong(title, TORN, "torn") and not is_mended
        return text[: len(text) // 2] if is_torn or wrong(title, HOPELESS, "hopeless") else text

    behaviour = Behaviour(say=say, fault_share=0.15, faults=FAULTS, retry_after="0.01")
    with FakeOpenAI(behaviour) as server:
        yield server, after


def write_files(folder, verse, plans):
    """Plans, lists, queries, what is known before, and what people say of everything."""
    before = ""
    for name, plan in plans.items():
        YAML().dump(plan | {"after": before}, folder / f"{name}.yaml")
        before = str(folder / f"{name}.yaml")
    curated = [
        {"title": one.title, "artist": one.artist, "lyrics": one.lyrics, "genre": one.genre,
         "christian_confidence": 1.0, "themes": ["Worship"]}
        for one in verse.songs["curated"]
    ]  # fmt: skip
    write(folder / "curated.jsonl", curated)
    for name in ("lrclib", "genius", "musixmatch"):
        more = verse.songs["archive"][:30] if name == "lrclib" else ()
        (folder / f"{name}.csv").write_text(queries(verse.songs[name], more))
    known = [one for name in ("curated", "archive") for one in verse.songs[name][::3]]
    unheard = [{"title": f"Unheard {n}", "artist": "Nobody", "analysis": None} for n in range(7)]
    write(folder / "known.jsonl", [*(record(verse, one) for one in known), *unheard])
    everything = [one for name in sorted(verse.songs) for one in verse.songs[name]]
    write(folder / "people.jsonl", [record(verse, one, 100) for one in everything])


def record(verse, song, scale=1):
    said = verse.said[song.title]
    said = said | {"score": round(said["score"] * scale, 2)}
    # As people type it: nobody keeps to capitals and blanks.
    return {"title": song.title.upper(), "artist": f" {song.artist}  ", "analysis": said}


def write(path, records):
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
