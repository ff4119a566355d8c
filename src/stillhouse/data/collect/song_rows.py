"""A kept song as the fields of a row, with where it comes from and what it may be used for."""

from __future__ import annotations

from typing import Any

from stillhouse.data.collect.selection import Kept


def fields_of(kept: Kept) -> dict[str, Any]:
    """The fields, in their order."""
    song = kept.song
    return {
        "title": song.title,
        "artist": song.artist,
        "album": song.album,
        "genre": song.genre,
        "label": song.kind,
        "language": song.language,
        "duration_s": song.duration_s or None,
        "lyrics": song.lyrics,
        "quality": kept.quality,
        "christian_confidence": kept.confidence if kept.confidence >= 0 else None,
        "themes": list(kept.themes),
        "source": song.source,
        "source_id": song.source_id,
        "source_url": song.url,
        "lyrics_source": song.lyrics_source or song.source,
        "fetched_at": song.fetched_at,
        "licence": song.licence or "unknown",
    }


def provenance_of(kept: Kept) -> str:
    """Where a person finds it."""
    return f"{kept.song.source}:{kept.song.source_id or kept.song.title}"
