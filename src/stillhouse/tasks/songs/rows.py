"""Sample rows of the songs task: a short song, what it was meant to say, a noisy copy of that."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from stillhouse.core.rows import Row
from stillhouse.data.readers import build_rows
from stillhouse.data.tables import Record
from stillhouse.tasks.songs.writer import write_song

LICENCE = "own"
_TOGETHER = (
    ("verdict", "score", "safety"),
    ("themes", "scripture_references", "rationale"),
    ("sentiment", "emotion"),
)
"""Fields that an annotator gets wrong at once, so that a wrong annotation still fits itself."""


def generate_rows(rows: int, seed: int, noise: float) -> Iterator[Row]:
    """Rows with `title`, `artist`, `genre`, `lyrics`, `licence`, `analysis` (noisy) and `truth`.

    The first rows of a longer list are the shorter list; the noise changes `analysis` only.

    Args:
        rows: how many.
        seed: another seed gives other rows.
        noise: probability in [0, 1], for each of verdict with score, themes with scripture, and
            sentiment with emotion, that they are those of another song.

    Returns:
        An iterator of rows; each song has four lines.
    """
    return build_rows(_records(rows, seed, noise))


def _records(rows: int, seed: int, noise: float) -> Iterator[Record]:
    writer, annotator = Random(f"songs {seed}"), Random(f"songs noise {seed}")
    for index in range(rows):
        song, other = write_song(writer), write_song(annotator).meant
        yield (
            f"songs@seed{seed}:{index}",
            {
                "title": song.title,
                "artist": song.artist,
                "genre": song.genre,
                "lyrics": song.lyrics,
                "licence": LICENCE,
                "analysis": _noisy(song.meant, other, noise, annotator),
                "truth": song.meant,
            },
        )


def _noisy(
    meant: dict[str, Any], other: dict[str, Any], noise: float, annotator: Random
) -> dict[str, Any]:
    wrong = {name for names in _TOGETHER if annotator.random() < noise for name in names}
    return {name: other[name] if name in wrong else value for name, value in meant.items()}
