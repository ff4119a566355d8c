"""Plans of a collection: how many songs of which kind, and what they must be before the next plan.

A plan is a YAML file. Those of the folder `collection_plans/` have names; copy one and name its
path to have your own.
"""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stillhouse.core.errors import InputError
from stillhouse.core.hashing import digest_value
from stillhouse.recipes.section import Count, Fraction, Section

GENRES = (
    *("pop", "rock", "hip-hop", "country", "christian", "metal", "folk", "electronic", "r&b"),
    *("jazz", "blues", "indie", "alternative", "punk", "reggae", "classical", "world"),
)
"""The genres of the taxonomy."""

THEMES = ("Christ-Centered", "Gospel", "Worship", "Prayer", "Biblical")
"""One of which a Christian song has."""


class Range(Section):
    """How many songs.

    Attributes:
        at_least: fewer leave the plan unfilled.
        at_most: no more are kept; no limit when absent.
    """

    at_least: int = Field(default=0, ge=0)
    at_most: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.at_most is not None and self.at_most < self.at_least:
            raise ValueError(f"at_most {self.at_most} is below at_least {self.at_least}")
        return self


class SongQuality(Section):
    """What a song must be to be kept, and a collection to pass.

    Attributes:
        score_at_least: of a song, from its lyrics and its description, in [0, 1].
        share_at_least: of the songs that each source gave with lyrics, those with that score.
        christian_confidence_at_least: of a song labelled christian, which must have a theme too.
        genre_share_at_least: of the collection, for a genre to count as present.
        genre_shares_at_least: the same for single genres, such as `christian`.
        genres_at_least: present ones, of the taxonomy.
        artists_at_least: different ones.
        songs_an_artist_at_most: kept of one artist; no limit when absent.
        near_duplicate_at_least: share of common word groups from which two lyrics are one song.
    """

    score_at_least: Fraction = 0.9
    share_at_least: Fraction = 0.9
    christian_confidence_at_least: Fraction = 0.8
    genre_share_at_least: Fraction = 0.02
    genre_shares_at_least: dict[str, Fraction] = Field(default_factory=dict)
    genres_at_least: int = Field(default=0, ge=0)
    artists_at_least: int = Field(default=0, ge=0)
    songs_an_artist_at_most: Count | None = None
    near_duplicate_at_least: float = Field(default=0.8, gt=0.0, le=1.0)


class CollectionPlan(Section):
    """What is collected before a collection is done.

    Attributes:
        name: of the plan.
        about: one line for people.
        after: the plan whose collection must have passed its rules before this one starts.
        songs: in all.
        sources: by the name of a source, or what it counts as.
        genres: by genre.
        labels: by label.
        quality: of each song, and the rules of the whole.
    """

    name: str
    about: str = ""
    after: str = ""
    songs: Range
    sources: dict[str, Range] = Field(default_factory=dict)
    genres: dict[str, Range] = Field(default_factory=dict)
    labels: dict[str, Range] = Field(default_factory=dict)
    quality: SongQuality = SongQuality()

    @model_validator(mode="after")
    def _can_be_filled(self) -> Self:
        most = self.songs.at_most
        if most is None:
            raise ValueError("songs.at_most is needed: when is it enough?")
        for kind in ("sources", "genres", "labels"):
            ranges: dict[str, Range] = getattr(self, kind)
            least = sum(one.at_least for one in ranges.values())
            if least > most:
                raise ValueError(f"{kind} ask for at least {least} songs, songs.at_most is {most}")
        return self

    @property
    def most_songs(self) -> int:
        """When the collection is full."""
        assert self.songs.at_most is not None
        return self.songs.at_most

    def digest(self) -> str:
        """Changes with every rule; a plan that passed under other rules has not passed."""
        return digest_value(self.model_dump(mode="json", exclude={"about"}))


def plan_names() -> list[str]:
    """The names of the plans that are there."""
    folder = resources.files("stillhouse.recipes") / "collection_plans"
    return sorted(one.name.removesuffix(".yaml") for one in folder.iterdir())


def load_plan(wanted: str, base: Path) -> CollectionPlan:
    """The plan of that name, or in that file.

    Args:
        wanted: one of `plan_names()`, or a path that ends in `.yaml` or `.yml`.
        base: what a relative path starts from.

    Returns:
        The plan.

    Raises:
        InputError: there is none, or it says what cannot be.
    """
    if Path(wanted).suffix in (".yaml", ".yml"):
        path = base / wanted
        if not path.is_file():
            raise InputError(f"no plan {path}", f"plans that are there: {', '.join(plan_names())}")
        return _read(path.read_text(encoding="utf-8"), path.name)
    if wanted not in plan_names():
        near = difflib.get_close_matches(wanted, plan_names(), n=1)
        guess = f'; did you mean "{near[0]}"?' if near else ""
        raise InputError(
            f'collect.source.collection.plan: no plan "{wanted}"{guess}',
            f"there are {', '.join(plan_names())}, or the path of a YAML file",
        )
    entry = resources.files("stillhouse.recipes") / "collection_plans" / f"{wanted}.yaml"
    return _read(entry.read_text(encoding="utf-8"), f"{wanted}.yaml")


def _read(text: str, name: str) -> CollectionPlan:
    try:
        plain = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        first = str(error).splitlines()[0]
        raise InputError(f"the plan {name} is no YAML: {first}", "mend the file") from None
    try:
        return CollectionPlan.model_validate(plain)
    except ValidationError as error:
        told = [
            (".".join(map(str, one["loc"])) or "plan", one["msg"].removeprefix("Value error, "))
            for one in error.errors()
        ]
        lines = [f"{place}: {what}" for place, what in told]
        raise InputError(f"the plan {name}:\n  " + "\n  ".join(lines), "mend the file") from None
