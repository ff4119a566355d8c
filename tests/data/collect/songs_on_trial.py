"""Songs that servers of tests know: seeded, each with words of its own."""

import random
from dataclasses import dataclass

from stillhouse.recipes.collection_plans import GENRES

WORDS = [
    f"{first}{middle}{last}"
    for first in ("ba", "do", "ke", "li", "mu", "no", "pa", "ri", "sa", "tu")
    for middle in ("la", "ne", "ro", "vi")
    for last in ("n", "st", "m", "lk", "rd")
]
HYMN = (
    "praise the Lord my soul and sing\n"
    "holy holy is our God and King\n"
    "Jesus died upon the cross for me\n"
    "grace and mercy set the sinner free\n"
    "hallelujah worship Him alone\n"
)


@dataclass(frozen=True)
class TrueSong:
    """What a server says of a song."""

    number: int
    title: str
    artist: str
    genre: str
    lyrics: str
    duration: float = 180.0
    instrumental: bool = False


def lyrics_of(number, *, is_hymn=False):
    draw = random.Random(number)
    verses = "\n".join(" ".join(draw.choices(WORDS, k=7)) for _ in range(12))
    return f"{HYMN}{verses}\n{HYMN}" if is_hymn else verses


def make_songs(count, first=0, artists=101):
    """Songs of each genre in turn."""
    songs = []
    for number in range(first, first + count):
        genre = GENRES[number % len(GENRES)]
        lyrics = lyrics_of(number, is_hymn=genre == "christian")
        songs.append(
            TrueSong(number, f"Song {number}", f"Singer {number % artists}", genre, lyrics)
        )
    return songs
