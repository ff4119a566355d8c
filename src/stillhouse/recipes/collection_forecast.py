"""How often a collection will ask each host, and how long that takes, before anybody is asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from stillhouse.recipes.collection import Collection, SongSource
from stillhouse.recipes.collection_plans import CollectionPlan

REPLY_S = 0.3
"""assumption: from request to reply; the pause begins after it."""

_KEPT_SHARE = 0.5
"""assumption: of the songs that a source offers; the others are repeats, too poor, or have no
lyrics anywhere."""
_PAGES = {"lrclib": 20, "genius": 20, "musixmatch": 100}


@dataclass(frozen=True, slots=True)
class HostForecast:
    """What one host will be asked.

    Attributes:
        host: the host.
        requests: about.
        seconds: about, at its pace.
    """

    host: str
    requests: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.host} about {self.requests:,} times, {_hours(self.seconds)}"


def forecast(collection: Collection, plan: CollectionPlan) -> list[HostForecast]:
    """What a plan asks of each host.

    Args:
        collection: the sources.
        plan: how many songs of which.

    Returns:
        One line a host, in the order of the sources; hosts are asked side by side.
    """
    requests, pauses = Counter[str](), dict[str, float]()
    for name, songs in _songs_of(collection, plan).items():
        source = collection.sources[name]
        if not source.host or songs <= 0:
            continue
        offered = songs / _KEPT_SHARE
        requests[source.host] += max(1, -(-int(offered) // _page(source)))
        pauses[source.host] = max(pauses.get(source.host, 0.0), source.seconds_between)
        giver = collection.sources.get(source.lyrics_from)
        if source.kind == "musixmatch" and giver is None:
            giver = source
        if giver:
            requests[giver.host] += int(offered)
            pauses[giver.host] = max(pauses.get(giver.host, 0.0), giver.seconds_between)
    return [
        HostForecast(host, number + 1, (number + 1) * (pauses[host] + REPLY_S))
        for host, number in requests.items()
    ]


def _songs_of(collection: Collection, plan: CollectionPlan) -> dict[str, float]:
    """How many songs each source is to bring: its quota, else a share of what is left."""
    of = {name: source.counts_as or name for name, source in collection.sources.items()}
    named = Counter(of.values())
    songs: dict[str, float] = {}
    for name, quota_name in of.items():
        quota = plan.sources.get(quota_name)
        if quota and quota.at_most is not None:
            songs[name] = quota.at_most / named[quota_name]
    left = max(0.0, plan.most_songs - sum(songs.values()))
    free = [name for name in of if name not in songs]
    return {name: songs.get(name, left / max(1, len(free))) for name in of}


def _page(source: SongSource) -> int:
    return source.api.page_size if source.api else _PAGES[source.kind]


def _hours(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
