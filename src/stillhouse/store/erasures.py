"""The list of what people asked to be erased, kept in the runs folder for all later runs.

Names of people are not kept: an entry holds a salted digest, by which a run finds their rows.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from stillhouse.core.errors import ArtifactError
from stillhouse.core.files import write_json
from stillhouse.core.hashing import digest_text

FILE = "erased.json"
SOURCE, SUBJECT = "source", "subject"
"""What an erasure is of."""


def erased_name(salt: str, name: str) -> str:
    """How the name of a source or a subject is written in the list."""
    return digest_text(f"{salt}\0{name}")[:32]


class Erasure(BaseModel):
    """One request.

    Attributes:
        kind: `source` or `subject`.
        names: digests of what it is called in rows.
        shown: the source's name; empty for a subject.
        asked_on: the day.
        artifacts: ids of what holds its rows and is still to be removed.
        rows: ids of its rows, until everything is removed.
        runs: those whose report is still to be removed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    names: tuple[str, ...]
    shown: str = ""
    asked_on: str
    artifacts: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether everything that can be removed is removed."""
        return not self.artifacts


class Erasures(BaseModel):
    """All requests of a runs folder.

    Attributes:
        salt: of the digests.
        entries: in the order in which they were asked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    salt: str = ""
    entries: tuple[Erasure, ...] = ()

    @property
    def names(self) -> list[tuple[str, str]]:
        """Every pair of kind and digest, sorted."""
        return sorted({(one.kind, name) for one in self.entries for name in one.names})

    def names_of(self, named: Mapping[str, str]) -> list[tuple[str, str]]:
        """The pairs that are there of a row's source and subject.

        Args:
            named: kind to name; an empty name is none.

        Returns:
            Pairs of kind and digest.
        """
        there = set(self.names)
        pairs = [(kind, erased_name(self.salt, name)) for kind, name in named.items() if name]
        return [pair for pair in pairs if pair in there]


NOTHING_ERASED = Erasures()


def read_erasures(root: Path) -> Erasures:
    """The list of a runs folder.

    Args:
        root: holds all runs.

    Returns:
        An empty list where nothing was ever erased.

    Raises:
        ArtifactError: it is torn; nothing may run before it is mended.
    """
    path = root / FILE
    try:
        return Erasures.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Erasures()
    except ValidationError as error:
        raise ArtifactError(
            f"{path}: torn ({error.errors()[0]['msg']})",
            "it says whose rows may not be used: bring it back from a copy",
        ) from None


def write_erasures(root: Path, erasures: Erasures) -> None:
    """Replace the list, all or nothing."""
    root.mkdir(parents=True, exist_ok=True)
    write_json(root / FILE, erasures.model_dump(mode="json"))


def with_salt(erasures: Erasures) -> Erasures:
    """The list with a salt of its own, drawn once."""
    if erasures.salt:
        return erasures
    return erasures.model_copy(update={"salt": secrets.token_hex(16)})
