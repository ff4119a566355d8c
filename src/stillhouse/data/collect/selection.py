"""Which of the songs that sources offer are kept: each song once, none too poor, quotas exact.

A song is kept while its source, genre and label have room, and while what is left of the whole
still has room for everything that the plan asks for at least.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from stillhouse.core.hashing import digest_text
from stillhouse.data.collect.christian import confidence_of, themes_of
from stillhouse.data.collect.quality import score_of
from stillhouse.data.collect.songs import Song, name_key
from stillhouse.data.near_index import NearIndex
from stillhouse.data.words import words_of
from stillhouse.recipes.collection_plans import THEMES, CollectionPlan, Range

_GROUP_WORDS = 3
"""assumption: refrains of other songs share pairs of words, and few groups of three."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A song that is kept.

    Attributes:
        song: with its lyrics.
        quality: its score.
        confidence: that it is Christian; -1 for a song that does not say so of itself.
        themes: of those five.
    """

    song: Song
    quality: float
    confidence: float
    themes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A song that is not kept.

    Attributes:
        song: as it was offered.
        reason: one fixed word.
        evidence: what was seen.
    """

    song: Song
    reason: str
    evidence: str = ""


@dataclass(slots=True)
class Tally:
    """What a source brought.

    Attributes:
        offered: songs.
        kept: of them.
        good: of those that came with lyrics and were no repeats, the ones with the quality.
        poor: the others.
        reasons: why songs were not kept.
        requests: by outcome, kept replies included.
        stopped: why it was asked no more; empty where it was not stopped.
        rest_s: after which it may be asked again.
    """

    offered: int = 0
    kept: int = 0
    good: int = 0
    poor: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    stopped: str = ""
    rest_s: float = 0.0


class Selection:
    """What is kept so far.

    Args:
        plan: what is wanted.
        counts_as: source to the name of its quota.
    """

    def __init__(self, plan: CollectionPlan, counts_as: Mapping[str, str]) -> None:
        self.plan = plan
        self.kept: list[Kept] = []
        self.refused: list[Refused] = []
        self.tallies: dict[str, Tally] = {name: Tally() for name in counts_as}
        self.counts: dict[str, Counter[str]] = {
            "sources": Counter(),
            "genres": Counter(),
            "labels": Counter(),
        }
        self.artists = Counter[str]()
        self._quotas: dict[str, dict[str, Range]] = {
            "sources": plan.sources,
            "genres": plan.genres,
            "labels": plan.labels,
        }
        self._counts_as = counts_as
        self._ids: set[tuple[str, str]] = set()
        self._names: set[str] = set()
        self._texts: set[str] = set()
        self._near = NearIndex(plan.quality.near_duplicate_at_least, _GROUP_WORDS)

    @property
    def is_full(self) -> bool:
        """Whether the plan takes no more."""
        return len(self.kept) >= self.plan.most_songs

    def wants(self, source: str, genre: str, label: str) -> bool:
        """Whether a song could be kept of which that much is known; an empty word is not known.

        Args:
            source: the recipe's name.
            genre: of the taxonomy.
            label: such as `christian`.

        Returns:
            False where a quota is full.
        """
        told = {"sources": self._counts_as[source], "genres": genre, "labels": label}
        return not self.is_full and not any(
            name and self._is_closed(kind, name) for kind, name in told.items()
        )

    def owes(self, genre: str, label: str) -> bool:
        """Whether the plan still asks for songs of that genre or label at least."""
        return any(
            name in quotas and self.counts[kind][name] < quotas[name].at_least
            for kind, name in (("genres", genre), ("labels", label))
            for quotas in (self._quotas[kind],)
        )

    def is_new(self, song: Song) -> bool:
        """Whether a song is worth asking for its lyrics: nothing known speaks against it."""
        is_known = self._id(song) in self._ids or song.same_as in self._names
        is_wordless = song.is_instrumental or song.is_restricted
        return not is_known and not is_wordless and self.wants(song.source, song.genre, song.kind)

    def offer(self, song: Song) -> None:
        """Decide about a song that has all its source will give."""
        tally = self.tallies[song.source]
        tally.offered += 1
        found = self._decide(song, tally)
        if isinstance(found, Refused):
            tally.reasons[found.reason] += 1
            self.refused.append(found)
        else:
            tally.kept += 1
            self._keep(found)

    def refuse(self, song: Song, reason: str) -> None:
        """Count a song that is not even looked at, such as one whose lyrics could not be had."""
        tally = self.tallies[song.source]
        tally.offered += 1
        tally.reasons[reason] += 1
        self.refused.append(Refused(song, reason))
        if reason in ("no_lyrics", "not_found"):
            self._ids.add(self._id(song))

    def count_odd(self, source: str, records: int) -> None:
        """Count records that name no song."""
        tally = self.tallies[source]
        tally.offered += records
        tally.reasons += Counter({"no_name": records})

    def missing(self) -> list[str]:
        """What the plan still asks for, a line each; empty when it is filled."""
        return list(self._missing())

    def _missing(self) -> Iterator[str]:
        least, count = self.plan.songs.at_least, len(self.kept)
        if count < least:
            yield f"{count:,} of at least {least:,} songs"
        for kind, quotas in self._quotas.items():
            for name, quota in quotas.items():
                count = self.counts[kind][name]
                if count < quota.at_least:
                    yield f"{kind} {name}: {count:,} of at least {quota.at_least:,}"

    def _decide(self, song: Song, tally: Tally) -> Kept | Refused:
        repeat = self._repeats(song)
        if repeat:
            return repeat
        self._ids.add(self._id(song))
        if song.is_instrumental:
            return Refused(song, "no_lyrics", "instrumental")
        if song.is_restricted:
            return Refused(song, "restricted")
        if not song.lyrics and (full := self._full(song)):
            # Nobody was asked for its lyrics: that says nothing of the source's quality.
            return Refused(song, "quota_full", full)
        quality, faults = score_of(song)
        is_good = quality >= self.plan.quality.score_at_least
        tally.good += is_good
        tally.poor += not is_good
        if not is_good:
            return Refused(song, "low_quality", f"{quality:.2f}: {', '.join(faults)}")
        if song.is_partial:
            return Refused(song, "partial_lyrics")
        return self._with_room(song, quality)

    def _repeats(self, song: Song) -> Refused | None:
        if self._id(song) in self._ids:
            return Refused(song, "same_id", song.source_id)
        if song.same_as in self._names:
            return Refused(song, "same_song", song.same_as)
        if song.lyrics and _text_key(song) in self._texts:
            return Refused(song, "same_lyrics")
        return None

    def _with_room(self, song: Song, quality: float) -> Kept | Refused:
        confidence, themes = _read(song)
        if song.kind == "christian" and not self._is_confirmed(confidence, themes):
            return Refused(song, "not_confirmed", f"{confidence:.2f} {', '.join(themes)}")
        full = self._full(song)
        if full:
            return Refused(song, "quota_full", full)
        near = self._near.find(song.lyrics)
        if near:
            return Refused(song, "near_duplicate", f"{near.overlap:.2f} of {near.kept}")
        return Kept(song, quality, confidence, themes)

    def _is_confirmed(self, confidence: float, themes: tuple[str, ...]) -> bool:
        least = self.plan.quality.christian_confidence_at_least
        return confidence >= least and (bool(themes) or least == 0)

    def _full(self, song: Song) -> str:
        """Which quota has no room for a song; empty when all have."""
        if self.is_full:
            return "songs"
        of = self._places(song)
        closed = [f"{kind} {name}" for kind, name in of.items() if self._is_closed(kind, name)]
        most = self.plan.quality.songs_an_artist_at_most
        if most and self.artists[name_key(song.artist)] >= most:
            closed.append(f"artist {song.artist}")
        return closed[0] if closed else ""

    def _is_closed(self, kind: str, name: str) -> bool:
        quotas, counts = self._quotas[kind], self.counts[kind]
        quota = quotas.get(name)
        if quota and quota.at_most is not None and counts[name] >= quota.at_most:
            return True
        # Room that others need at least is not given away.
        owed = sum(
            max(0, one.at_least - counts[other]) for other, one in quotas.items() if other != name
        )
        return self.plan.most_songs - len(self.kept) <= owed

    def _places(self, song: Song) -> dict[str, str]:
        return {
            "sources": self._counts_as[song.source],
            "genres": song.genre,
            "labels": song.kind,
        }

    def _keep(self, kept: Kept) -> None:
        song = kept.song
        self.kept.append(kept)
        for kind, name in self._places(song).items():
            self.counts[kind][name] += 1
        self.artists[name_key(song.artist)] += 1
        self._names.add(song.same_as)
        self._texts.add(_text_key(song))
        self._near.add(f"{song.title} by {song.artist}", song.lyrics)

    def _id(self, song: Song) -> tuple[str, str]:
        return song.source, song.source_id or f"\t{song.same_as}"


def _text_key(song: Song) -> str:
    return digest_text(" ".join(words_of(song.lyrics)))


def _read(song: Song) -> tuple[float, tuple[str, ...]]:
    """How surely a song is Christian, and its themes: as its list says, else as its words do."""
    if song.kind != "christian":
        return -1.0, ()
    told = tuple(theme for theme in song.themes if theme in THEMES)
    confidence = song.confidence if song.confidence >= 0 else confidence_of(song.lyrics)
    return confidence, told or themes_of(song.lyrics)


def with_defaults(song: Song, genre: str, label: str, licence: str) -> Song:
    """The song with what its query or source says where it does not tell itself."""
    return replace(
        song,
        genre=song.genre or genre,
        label=song.label or label,
        licence=song.licence or licence,
    )
