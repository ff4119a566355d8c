"""The step that looks for faults in annotations of songs, with its settings."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from stillhouse.recipes.row_step import Step
from stillhouse.recipes.section import Positive

FAULTS = (
    "unreadable",
    "score",
    "verdict",
    "concern",
    "theme_missing",
    "theme",
    "scripture",
    "genre",
    "other_song",
)
"""What can be wrong with an annotation, in the order in which it is told."""

Fault = Literal[
    "unreadable", "score", "verdict", "concern", "theme_missing", "theme", "scripture", "genre",
    "other_song",
]  # fmt: skip


class CheckAnnotations(Step):
    """Look for faults in annotations of songs: what contradicts itself, its row or its lyrics.

    Attributes:
        annotation: the field with the annotation, an object or its JSON text.
        lyrics: the field with the lyrics.
        title: the field with the song's title, if there is one.
        artist: the field with who sings it, if there is one.
        genre: the field with the genre that the row claims, if there is one.
        scale: the largest score; 1 where scores go from 0 to 1.
        found: `drop` ends the row with the first fault as its reason; `flag` keeps it, and counts.
        ignore: faults that are not looked for.
        again: the field with a second annotation by the same annotator, to see whether it is
            consistent.
        differs_at_most: mean difference of the scores of both, on a scale of 100, above which the
            run ends.
    """

    name: Literal["check_annotations"] = "check_annotations"
    reaches_inside: ClassVar[bool] = True
    annotation: str = "annotation"
    lyrics: str = "lyrics"
    title: str | None = None
    artist: str | None = None
    genre: str | None = None
    scale: Positive = 100.0
    found: Literal["drop", "flag"] = "drop"
    ignore: tuple[Fault, ...] = ()
    again: str | None = None
    differs_at_most: float = Field(default=5.0, ge=0.0)

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields that it has nothing to do without."""
        named = (self.annotation, self.lyrics, self.title, self.artist, self.genre, self.again)
        return tuple(name for name in named if name)
