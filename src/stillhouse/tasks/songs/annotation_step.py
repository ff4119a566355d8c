"""The step that drops or counts annotations of songs with a fault, and tells what is left."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Drop, Keep, Outcome, Row
from stillhouse.data.paths import MISSING, find
from stillhouse.data.tables_told import Tables
from stillhouse.recipes.annotations import CheckAnnotations
from stillhouse.tasks.songs.analysis import Analysis, read_analysis
from stillhouse.tasks.songs.annotation_faults import Song, find_faults

_MOST_THEMES = 20
_BAND = 10


@dataclass(frozen=True, slots=True)
class CheckAnnotationsStep:
    """Looks for faults of each row's annotation.

    Attributes:
        wanted: the settings.
    """

    wanted: CheckAnnotations
    name: str = "check_annotations"
    version: int = 1
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep rows without a fault; the others end, or are counted."""
        return [self._judge(row) for row in batch]

    def _judge(self, row: Row) -> Outcome:
        found = [
            fault
            for fault in find_faults(
                self._annotation(row, self.wanted.annotation), self._song(row),
                scale=self.wanted.scale,
            )
            if fault.kind not in self.wanted.ignore
        ]  # fmt: skip
        if not found:
            return Keep(row)
        if self.wanted.found == "drop":
            kinds = dict.fromkeys(fault.kind for fault in found)
            told = "; ".join(fault.what for fault in found)
            return Drop(row, f"annotation: {found[0].kind}", f"{', '.join(kinds)}: {told}")
        return Keep(row, tuple(dict.fromkeys(f"annotation: {one.kind}" for one in found)))

    def _song(self, row: Row) -> Song:
        names = (self.wanted.lyrics, self.wanted.title, self.wanted.artist, self.wanted.genre)
        return Song(*(_text(row, name) for name in names))

    def _annotation(self, row: Row, field: str) -> str:
        value = find(row.fields, field)
        if value is MISSING:
            raise InputError(
                f"{row.provenance}: check_annotations reads {field!r}, which the row does not have",
                "name the field with the annotation",
            )
        return value if isinstance(value, str) else json.dumps(value)

    def tell(self, rows: Iterable[Row]) -> Tables:
        """Statistics of the annotations that go on.

        Args:
            rows: that go on.

        Returns:
            Annotations by verdict, score, level of concern, theme and genre, and how far a second
            annotation is from the first.

        Raises:
            InputError: a second annotation differs by more than it may.
        """
        counts: dict[str, Counter[str]] = {
            name: Counter() for name in ("verdict", "score", "concern", "theme", "genre")
        }
        differences: list[float] = []
        for row in rows:
            first = self._read(row, self.wanted.annotation)
            if first is None:
                continue
            _count(counts, first, _text(row, self.wanted.genre))
            if self.wanted.again:
                differences.append(_distance(first, self._read(row, self.wanted.again)))
        counts["theme"] = Counter(dict(counts["theme"].most_common(_MOST_THEMES)))
        tables: Tables = {
            f"annotations by {name}": dict(sorted(found.items()))
            for name, found in counts.items()
            if found
        }
        if differences:
            tables["two annotations of one song"] = self._consistency(differences)
        return tables

    def _consistency(self, differences: Sequence[float]) -> dict[str, float]:
        mean = sum(differences) / len(differences)
        if mean > self.wanted.differs_at_most:
            raise InputError(
                f"two annotations of one song differ by {mean:.2f} points on the mean of "
                f"{len(differences):,} songs; check_annotations.differs_at_most is "
                f"{self.wanted.differs_at_most:g}",
                "ask the annotator with temperature 0, or say more clearly what a score means",
            )
        return {
            "songs": len(differences),
            "mean difference of the score": round(mean, 3),
            "largest difference": max(differences),
        }

    def _read(self, row: Row, field: str) -> Analysis | None:
        told = _scaled(self._annotation(row, field), self.wanted.scale)
        return read_analysis(json.dumps(told)) if told is not None else None


def _scaled(text: str, scale: float) -> dict[str, Any] | None:
    """An annotation whose score is one of 100; None for what is no object."""
    try:
        told = json.loads(text)
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    score = told.get("score")
    is_number = isinstance(score, int | float) and not isinstance(score, bool)
    return {**told, "score": float(score) * 100.0 / scale} if is_number and score else told


def _count(counts: dict[str, Counter[str]], found: Analysis, genre: str) -> None:
    counts["verdict"][found.verdict or "none"] += 1
    counts["concern"][found.concern_level or "none"] += 1
    if found.score is not None:
        low = min(int(found.score) // _BAND * _BAND, 100 - _BAND)
        counts["score"][f"{low:02} to {low + _BAND}"] += 1
    counts["theme"].update(theme.casefold() for theme in found.themes)
    if genre:
        counts["genre"][genre] += 1


def _distance(first: Analysis, second: Analysis | None) -> float:
    """Points between two scores; the whole scale where one of them is missing."""
    if second is None or first.score is None or second.score is None:
        return 100.0
    return abs(first.score - second.score)


def _text(row: Row, field: str | None) -> str:
    value = find(row.fields, field) if field else None
    return "" if value is None or value is MISSING else str(value)
