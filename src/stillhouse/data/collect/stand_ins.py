"""Songs that stand in for a collection that is not there yet, so that a run can be priced."""

from __future__ import annotations

import random
from collections.abc import Iterator

from stillhouse.core.rows import Row
from stillhouse.data.collect.selection import Kept
from stillhouse.data.collect.song_rows import fields_of
from stillhouse.data.collect.songs import Song
from stillhouse.data.readers import build_rows
from stillhouse.recipes.collection import Collection, SongSource
from stillhouse.recipes.collection_plans import GENRES, CollectionPlan

_MOST = 20_000
_WORDS_A_LINE, _LINES, _SPREAD = 7, 32, 16
"""assumption: a song has about 220 words."""
_SAYING = (
    "the you and love I to a me my in it on your of that all be know time night way heart day "
    "feel come light never away home world eyes gone dream road rain fire down again hold long"
)


def stand_ins(collection: Collection, plan: CollectionPlan) -> Iterator[Row]:
    """Rows of the shape, and of about the length, that a plan will bring.

    Args:
        collection: whose sources and licences they have in turn.
        plan: whose labels and number of songs they have.

    Returns:
        At most 20,000; their words mean nothing.
    """
    sources = [
        (source.lyrics_from or name, _licence(collection.sources.get(source.lyrics_from, source)))
        for name, source in collection.sources.items()
    ]
    return build_rows(
        (f"stand-in:{number}", fields_of(_song(number, plan, *sources[number % len(sources)])))
        for number in range(min(plan.most_songs, _MOST))
    )


def _licence(source: SongSource) -> str:
    """Of a source's songs, as far as it is known before they are there."""
    fields = source.api.fields if source.api else (source.file.fields if source.file else None)
    tells_itself = fields is not None and (not fields or "licence" in fields)
    return "own" if tells_itself and not source.licence else source.terms


def _song(number: int, plan: CollectionPlan, source: str, licence: str) -> Kept:
    draw = random.Random(number)
    lines = _LINES + draw.randint(-_SPREAD, _SPREAD)
    lyrics = "\n".join(
        " ".join(draw.choices(_SAYING.split(), k=_WORDS_A_LINE)) for _ in range(lines)
    )
    asked = plan.labels.get("christian")
    is_christian = number < (asked.at_least if asked else plan.most_songs // 20)
    song = Song(
        source=source,
        source_id=str(number),
        title=f"Stand-in {number}",
        artist=f"Nobody {number % 101}",
        duration_s=180.0,
        lyrics=lyrics,
        genre="christian" if is_christian else GENRES[number % len(GENRES)],
        label="christian" if is_christian else "secular",
        licence=licence,
    )
    return Kept(song, 1.0, 1.0 if is_christian else -1.0, ("Worship",) if is_christian else ())
